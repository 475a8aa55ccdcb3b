"""The folder benchmark runs and measures; nothing here depends on how fast."""

import json

from tests.benchmarks import folders


def test_both_loaders_are_timed_over_whole_passes(tmp_path):
    file = tmp_path / "folders.json"
    small = ["--images", "20", "--width", "64", "--image-size", "16", "--batch-size", "8"]
    folders.main(
        [*small, "--workers", "0", "--rounds", "2", "--device", "cpu", "--json", str(file)]
    )
    measured = json.loads(file.read_text())
    assert set(measured["images_per_second"]) == {folders.PLAIN, folders.OURS}
    for found in (*measured["images_per_second"].values(), measured["ratio"]):
        assert 0 < found["lower"] <= found["median"] <= found["upper"]
