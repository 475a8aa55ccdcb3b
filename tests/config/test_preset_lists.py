"""Lists of presets that contradict each other are refused, and no others."""

import pytest

from kdrun.config.compose import compose_job
from kdrun.errors import ConfigError


@pytest.mark.parametrize(
    "presets", ["[kd,kd]", "[kd,standardized]", "[all,kd]", "[mimic,logit_mse]"]
)
def test_one_term_twice_is_refused(presets):
    with pytest.raises(ConfigError, match="both set loss"):
        compose_job([f"loss={presets}"])


def test_two_values_of_one_key_are_refused_unless_the_command_line_decides():
    with pytest.raises(ConfigError, match=r"dkd sets loss.T=4 and wsl loss.T=2; set loss.T"):
        compose_job(["loss=[dkd,wsl]"])
    assert compose_job(["loss=[dkd,wsl]", "loss.T=3"]).loss.T == 3


def test_none_stands_alone():
    with pytest.raises(ConfigError, match="none cannot be combined"):
        compose_job(["loss=[kd,none]"])


@pytest.mark.parametrize(
    "presets", ["kd", "[kd]", "[kd,hint,rkd]", "[hint,attention]", "[dkd,dist]"]
)
def test_presets_that_go_together_are_taken(presets):
    compose_job([f"loss={presets}", "student=resnet8"])


def test_presets_of_the_user_s_own_folder_are_looked_into(tmp_path):
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("kl:\n  weight: 0.5\n")
    with pytest.raises(ConfigError, match=r"kd and mine both set loss\.kl"):
        compose_job(["loss=[kd,mine]"], tmp_path)
