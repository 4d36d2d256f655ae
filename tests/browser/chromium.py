"""The Chromium of this machine, as all scripts here start it: no download of a browser, nothing asked of the network."""

import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# In a container there is neither a sandbox nor a graphics card; all drawing is done by the processor.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


def found():
    """Its path; where there is none the script ends well, and says so."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        print("skipped: no Chromium on the path (on Debian: apt-get install chromium)")
        sys.exit(0)
    return path
