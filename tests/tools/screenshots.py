"""Takes the pictures of Prefect's UI that docs/ shows: a fresh clone, real runs, headless Chromium.

python -m tests.tools.screenshots
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.support.house import House, copy_clone, wait_until

TARGET = Path(__file__).resolve().parents[2] / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
LARGEST = 300_000  # bytes


class Page:
    """One tab of a browser, driven by the DevTools protocol."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.calls += 1
        self.connection.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.connection.recv(timeout=60))
            if answer.get("id") == self.calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def show(self, url: str, expected: str, height: int = HEIGHT, width: int = WIDTH) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=url)
        seen = f"document.body.innerText.includes({json.dumps(expected)})"
        wait_until(lambda: self.value(seen), 60, f"{url} shows {expected!r}")
        loaded = "[...document.images].every(image => image.complete)"
        wait_until(lambda: self.value(loaded), 30, f"{url} shows its pictures")
        time.sleep(5)  # what fades in and the timeline of a run

    def save(self, name: str) -> None:
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if len(content) > LARGEST:
            raise RuntimeError(f"{name}: {len(content):,} bytes, at most {LARGEST:,} were expected")
        TARGET.mkdir(exist_ok=True)
        (TARGET / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


@contextmanager
def browser() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("error: no chromium on the PATH. Install it (Debian package: chromium).")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--remote-debugging-port=0"]
        process = subprocess.Popen(
            [program, *options, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port_file = Path(profile) / "DevToolsActivePort"
            wait_until(lambda: port_file.exists() and port_file.read_text().count("\n"), 60, "the browser starts")
            address = f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}/json/new?about:blank"
            with urlopen(Request(address, method="PUT"), timeout=30) as answer:
                tab = json.loads(answer.read())
            with connect(tab["webSocketDebuggerUrl"], max_size=None) as connection:
                page = Page(connection)
                page.call("Page.enable")
                page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
                yield page
        finally:
            process.terminate()
            process.wait(20)


def work(house: House) -> str:
    """Trains twice and scores the bundled dumps; gives the id of the second training."""
    (house.data / "inbox").mkdir()
    for name in ("reviews-columns.csv", "reviews-damaged.csv", "reviews-test.csv.gz"):
        shutil.copy(house.data / "sample" / name, house.data / "inbox")
    for epochs in (2, 8):
        fit = {"epochs": epochs, "patience": 8}
        house.watch("train/weekly", corpus={"corpus": "sample"}, fit=fit)
    trained = house.runs(name={"like_": "train"}, state={"type": {"any_": ["COMPLETED"]}})
    scored = house.submit("backfill", options={"max_quarantine": 0.5, "rescore": True})
    house.ended(scored)
    return str(trained[-1]["id"])


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        house = House(copy_clone(Path(folder) / "clone"))
        house.serve()
        try:
            house.make_now("deploy")
            house.make_now("automations")
            house.start("worker")
            take(house, work(house))
        finally:
            house.stop_all()


def take(house: House, trained: str) -> None:
    base = house.url.removesuffix("/api")
    artifacts = {entry["key"]: entry["latest_id"] for entry in house.ask("/artifacts/latest/filter", {})}
    weekly = house.deployment("weekly")["id"]
    with browser() as page:
        page.show(f"{base}/deployments", "every-15-minutes", height=700)
        page.save("deployments.png")
        page.show(f"{base}/deployments/deployment/{weekly}/run", "Epochs at most", height=1700)
        page.save("form.png")
        page.show(f"{base}/runs/flow-run/{trained}", "train simple_rnn on sample")
        page.save("run.png")
        page.show(f"{base}/artifacts/artifact/{artifacts['train-report']}", "bag of words", height=1900)
        page.save("train-report.png")
        page.show(f"{base}/artifacts/artifact/{artifacts['score-files']}", "reviews-test.csv.gz", 600, 1700)
        page.save("score-files.png")
        page.show(f"{base}/artifacts/artifact/{artifacts['score-report']}", "score-report", height=1100)
        page.save("score-report.png")


if __name__ == "__main__":
    main()
