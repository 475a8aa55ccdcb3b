"""Settings in which runs differ, however each was told of them."""

from omegaconf import OmegaConf

from kdrun.report.run_settings import fill_settings


def row(told, **loss):
    """A run with these overrides and values of its loss."""
    config = {"loss": {"soft": "kl", "T": 4.0, "rkd": {"angle": 0.0}} | loss}
    return {"settings": told, "config": OmegaConf.create(config)}


def filled(*rows):
    varied = fill_settings(rows)
    return varied, [one["settings"] for one in rows]


def test_an_option_and_the_default_that_is_the_same_are_one_setting():
    assert filled(row({"loss": "kd"}), row({}), row({"loss": "[kd]"})) == ([], [{}, {}, {}])
    varied, settings = filled(row({"loss": "kd", "loss.T": "4"}), row({"loss.T": "2"}, T=2.0))
    assert varied == ["loss.T"]
    assert settings == [{"loss.T": "4"}, {"loss.T": "2"}]


def test_options_that_differ_are_two_settings():
    rows = [row({"loss": "[kd,rkd]"}, rkd={"angle": 2.0}), row({})]
    assert filled(*rows) == (["loss"], [{"loss": "[kd,rkd]"}, {"loss": "-"}])
    rows = [row({"loss": "none"}, soft="none"), row({"loss": "kd"}), row({})]
    varied, settings = filled(*rows)
    assert varied == ["loss"]
    assert [one["loss"] for one in settings] == ["none", "kd", "kd"]
