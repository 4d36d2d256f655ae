"""Asks a map's page in Chromium what its readers would notice: `python tests/browser/map.py PAGE.html [FOLDER]`.

PAGE.html is a page with its data (`holdfast clusters FILE --format html`); into FOLDER go screenshots. Needs the package
playwright and a Chromium on the path (`apt-get install chromium`), no download of a browser. A page that waits for its
report is played against answers made up here.
"""

import json
import pathlib
import re
import shutil
import sys

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
PATH = "/v1/tokens/sample/0x00000000000000000000000000000000000000aa/map"


def until(page, true):
    """Waits for an expression; the page's policy lets no waiting be done inside of it."""
    for _ in range(300):
        if page.evaluate(true):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not within 30 s: {true}")


def painted(page):
    """How many of the canvas's pixels are not empty."""
    return page.evaluate("""() => {
        const canvas = document.getElementById("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let painted = 0;
        for (let at = 3; at < data.length; at += 4) painted += data[at] > 0;
        return painted;
    }""")


def frames_per_second(page):
    """While the map is moved for two seconds, as fast as frames come."""
    return page.evaluate("""() => new Promise((done) => {
        const canvas = document.getElementById("canvas");
        const key = (name) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
        const began = performance.now(), before = holdfast.frames;
        let round = 0;
        const step = () => {
            const passed = performance.now() - began;
            if (passed > 2000) return done((holdfast.frames - before) * 1000 / passed);
            key(["ArrowLeft", "ArrowRight"][Math.floor(round++ / 30) % 2]);
            requestAnimationFrame(step);
        };
        step();
    })""")


def shoot(page, folder, name):
    if folder:
        page.wait_for_timeout(1600)
        page.screenshot(path=str(folder / f"{name}.png"))


def drawn(browser, url, folder):
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(url)
    until(page, "window.holdfast?.drawn > 0")
    page.wait_for_timeout(1200)
    assert painted(page) > 1000, "the canvas is empty"
    shoot(page, folder, "dark")
    holders = int(page.get_attribute("#top", "max"))
    print(f"{holders} holders, {page.evaluate('holdfast.drawn')} drawn: {frames_per_second(page):.1f} frames/s while moving")

    # The keyboard alone: to the list, a row further, into it.
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('pick')"):
            break
    else:
        raise AssertionError("Tab does not come to the list")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, "/^Cluster 2: .* holders? with/.test(document.getElementById('live').textContent)")
    assert page.inner_text("#details h2") == "Cluster 2"
    shoot(page, folder, "cluster")

    page.keyboard.press("/")
    page.keyboard.type("#7")
    page.keyboard.press("Enter")
    until(page, "/rank 7,/.test(document.getElementById('live').textContent)")
    shoot(page, folder, "holder")
    address = page.get_attribute("#details .mono", "title")
    page.fill("#search", address)
    until(page, "document.querySelectorAll('#holders tr').length === 1")
    page.fill("#search", "nobody is called this")
    page.wait_for_selector("#no-holders:visible")
    page.keyboard.press("Escape")
    page.fill("#search", "")
    page.keyboard.press("Escape")

    page.focus("#top")
    page.keyboard.press("Home")
    until(page, "holdfast.shown === 1")
    page.keyboard.press("End")
    until(page, f"holdfast.shown === {holders}")

    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != dark, "light is as dark"
    shoot(page, folder, "light")
    place = page.evaluate("holdfast.where(0)")
    page.click("#zoom-all")
    page.wait_for_timeout(1200)
    place = page.evaluate("holdfast.where(0)")
    page.mouse.move(place["x"], place["y"])
    page.wait_for_selector("#tip:visible")
    page.mouse.click(place["x"], place["y"])
    until(page, "/rank 1,/.test(document.getElementById('live').textContent)")
    shoot(page, folder, "hub")
    assert not errors, errors
    page.close()


def on_a_phone(browser, url, folder):
    for scheme in ("dark", "light"):
        context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True,
                                      is_mobile=True, color_scheme=scheme)
        page = context.new_page()
        page.goto(url)
        until(page, "window.holdfast?.drawn > 0")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{wide} pixels wide"
        shoot(page, folder, f"phone-{scheme}")
        context.close()


def queued(browser, path, folder):
    """First 403, then with a token 202, progress, and the map by itself."""
    html = path.read_text()
    shell = re.sub(r'(id="data">).*?(</script>)', r"\1null\2", html, count=1, flags=re.S)
    shell = shell.replace('data-state="map"', 'data-state="none"', 1)
    data = re.search(r'id="data">(.*?)</script>', html, re.S).group(1)
    asked = {"jobs": 0}

    def answer(route):
        request = route.request
        kind, status = "application/json", 200
        if request.url.endswith("/map"):
            kind, body = "text/html", shell
        elif "authorization" not in request.headers:
            status, body = 403, json.dumps({"code": "token_missing", "detail": "Sign in."})
        elif "/v1/jobs/" in request.url:
            asked["jobs"] += 1
            state = "done" if asked["jobs"] > 3 else "running"
            body = json.dumps({"state": state, "progress": asked["jobs"] / 4, "stage": "reading transfers"})
        elif "/map.json" in request.url and asked["jobs"] <= 3:
            status, body = 202, json.dumps({"job": {"job": "a" * 26}})
        elif "/map.json" in request.url:
            body = data
        else:
            status, body = 404, "{}"
        route.fulfill(status=status, body=body, content_type=kind)

    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page.route("**/*", answer)
    page.goto(f"http://map.test{PATH}")
    page.wait_for_selector("#sign-in:visible")
    shoot(page, folder, "sign-in")
    page.fill("#token", "a.b.c")
    page.keyboard.press("Enter")
    page.wait_for_selector("#progress:visible")
    if folder:
        page.screenshot(path=str(folder / "queued.png"))
    until(page, "window.holdfast?.drawn > 0")
    assert page.is_hidden("#veil") and asked["jobs"] == 4
    assert page.is_visible("#hub-control") and page.is_hidden("#time-control")
    page.close()


def main():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: no chromium on the path (apt-get install chromium)")
        return
    path = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        drawn(browser, path.as_uri(), folder)
        on_a_phone(browser, path.as_uri(), folder)
        queued(browser, path, folder)
        browser.close()
    print("the page does what it should")


if __name__ == "__main__":
    main()
