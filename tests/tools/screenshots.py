"""Takes the pictures of Prefect's UI that docs/ shows: a fresh clone, real runs, headless Chromium.

python -m tests.tools.screenshots
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.support.house import House, copy_clone

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
LARGEST = 300_000  # bytes


def show(page: Page, url: str, expected: str, height: int = HEIGHT, width: int = WIDTH) -> None:
    """Opens the address and waits until the page shows the text and its pictures."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(url)
    page.wait_for_function("text => document.body.innerText.includes(text)", arg=expected)
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.wait_for_timeout(5_000)  # what fades in and the timeline of a run


def save(page: Page, name: str) -> None:
    content = page.screenshot()
    if len(content) > LARGEST:
        raise RuntimeError(f"{name}: {len(content):,} bytes, expected at most {LARGEST:,}")
    (TARGET / name).write_bytes(content)
    print(f"{name}: {len(content):,} bytes")


@contextmanager
def browser() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("error: no chromium on the PATH. Install it (Debian package: chromium).")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=program) as chromium:
        page = chromium.new_page(color_scheme="light")
        page.set_default_timeout(60_000)
        yield page


def work(house: House) -> str:
    """Trains twice and scores the bundled dumps; gives the id of the second training."""
    (house.data / "inbox").mkdir()
    for name in ("reviews-columns.csv", "reviews-damaged.csv", "reviews-test.csv.gz"):
        shutil.copy(house.data / "sample" / name, house.data / "inbox")
    for epochs in (2, 8):
        fit = {"epochs": epochs, "patience": 8}
        house.watch("train/weekly", preset="article", corpus={"corpus": "sample"}, fit=fit)
    trained = house.runs(name={"like_": "train"}, state={"type": {"any_": ["COMPLETED"]}})
    scored = house.submit("backfill", options={"max_quarantine": 0.5, "rescore": True})
    house.ended(scored)
    return str(trained[-1]["id"])


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, browser() as page:
        house = House(copy_clone(Path(folder) / "clone"))
        house.serve()
        try:
            house.make_now("deploy")
            house.make_now("automations")
            house.start("worker")
            take(page, house, work(house))
        finally:
            house.stop_all()


def take(page: Page, house: House, trained: str) -> None:
    base = house.url.removesuffix("/api")
    artifacts = {entry["key"]: entry["latest_id"] for entry in house.ask("/artifacts/latest/filter", {})}
    weekly = house.deployment("weekly")["id"]
    show(page, f"{base}/deployments", "every-15-minutes", height=700)
    save(page, "deployments.png")
    show(page, f"{base}/deployments/deployment/{weekly}/run", "Epochs at most", height=1700)
    save(page, "form.png")
    show(page, f"{base}/runs/flow-run/{trained}", "train article on sample")
    save(page, "run.png")
    show(page, f"{base}/artifacts/artifact/{artifacts['train-report']}", "n-gram baseline", height=1900)
    save(page, "train-report.png")
    show(page, f"{base}/artifacts/artifact/{artifacts['score-files']}", "reviews-test.csv.gz", 600, 1700)
    save(page, "score-files.png")
    show(page, f"{base}/artifacts/artifact/{artifacts['score-report']}", "score-report", height=1100)
    save(page, "score-report.png")


if __name__ == "__main__":
    main()
