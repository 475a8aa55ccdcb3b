"""Run the default pair over five seeds and picture its report with a headless browser."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TARGET = Path(__file__).parent / "report.png"
WIDTH, HEIGHT = 1200, 1500


def main() -> None:
    """Make the picture; say its size."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"a browser takes the picture: install one of {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary, "example")
        kdrun = [sys.executable, "-c", "from kdrun.cli import main; main()"]
        words = ["seeds=[0,1,2,3,4]", "train.threads=1"]
        words += [f"output_root={temporary}", f"hydra.run.dir={run}"]
        subprocess.run([*kdrun, *words], check=True)
        picture = Path(temporary, "page.png")
        size = f"--window-size={WIDTH},{HEIGHT}"
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"]
        page = (run / "report.html").as_uri()
        subprocess.run([browser, *flags, size, f"--screenshot={picture}", page], check=True)
        # A palette is a third of the size.
        Image.open(picture).convert("RGB").quantize(256).save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


main()
