"""Debian's chromium, without a display and without a network."""

import json
import os
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)
needed = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def look(page, home, *options):
    """What chromium prints of a page, after its scripts ran; ``home``: folder for its profile."""
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={home}",
         "--virtual-time-budget=20000", *options, page.absolute().as_uri()],
        capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def data_of(text):
    """The JSON that a page carries for its scripts, of each viewer."""
    return [json.loads(found) for found in
            re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)]
