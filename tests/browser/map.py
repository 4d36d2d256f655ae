"""Asks the map in Chromium what its readers would notice: `python tests/browser/map.py URL TOKEN [FOLDER]`.

URL is the map's page on a server whose workers run (`cargo run`: http://127.0.0.1:3000/v1/tokens/sample/0x…/map), TOKEN
a bearer token of it (`holdfast token`); into FOLDER go screenshots. The report must not have been asked for before:
how a page comes by it is what is looked at first.
"""

import pathlib
import re
import sys
import time
from contextlib import contextmanager

from playwright.sync_api import expect, sync_playwright

from chromium import FLAGS, found

DESKTOP = {"width": 1440, "height": 900}
SCROLLS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
GROUND = "getComputedStyle(document.body).backgroundColor"


class Reader:
    """Somebody with a browser, who notes what went wrong in it."""

    def __init__(self, browser, url, token, folder):
        self.browser, self.url, self.token, self.folder = browser, url, token, folder

    @contextmanager
    def page(self, signed_in=True, **how):
        context = self.browser.new_context(**{"viewport": DESKTOP, "color_scheme": "dark"} | how)
        if signed_in:
            context.add_init_script(f"sessionStorage.setItem('holdfast.token', {self.token!r})")
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.asked, errors = [], []
        page.on("response", lambda answer: page.asked.append((answer.status, answer.url)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        assert not errors, errors
        context.close()

    def shoot(self, page, name):
        if self.folder:
            until(page, "holdfast.still")
            page.screenshot(path=str(self.folder / f"{name}.png"))


def until(page, true):
    """Waits for an expression. The page's policy lets no code be made in it, which waiting there would take."""
    end = time.monotonic() + 20
    while not page.evaluate(true):
        assert time.monotonic() < end, f"not within 20 s: {true}"
        page.wait_for_timeout(20)


def shows_the_map(page):
    expect(page.locator("#app")).to_have_attribute("data-state", "map")
    until(page, "holdfast.drawn > 0 && holdfast.still")


def told(page, text):
    """What a screen reader is told."""
    expect(page.locator("#live")).to_have_text(re.compile(text))


def shades(page):
    """In how many colours, roughly, the canvas is painted."""
    return page.evaluate("""() => {
        const canvas = document.getElementById("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) seen.add((data[at] >> 4) << 8 | (data[at + 1] >> 4) << 4 | data[at + 2] >> 4);
        return seen.size;
    }""")


def statuses(page, part):
    return [status for status, url in page.asked if part in url]


def asks_who_is_there_and_then_makes_the_map(reader):
    with reader.page(signed_in=False) as page:
        page.goto(reader.url)
        expect(page.locator("#sign-in")).to_be_visible()
        expect(page.locator("#panel")).to_be_hidden()
        assert statuses(page, "map.json") == [403]
        reader.shoot(page, "sign-in")
        page.fill("#token", "not.a.token")
        page.keyboard.press("Enter")
        expect(page.locator("#veil-text")).not_to_contain_text("stays in this tab")
        expect(page.locator("#sign-in")).to_be_visible()
        # Everything the veil says from now on, as it says it.
        page.evaluate("""() => {
            window.said = [];
            const veil = document.getElementById("veil");
            new MutationObserver(() => said.push([document.getElementById("veil-title").textContent, document.getElementById("progress").hidden]))
                .observe(veil, { subtree: true, childList: true, characterData: true, attributes: true });
        }""")
        page.fill("#token", f"Bearer {reader.token}")
        page.keyboard.press("Enter")
        shows_the_map(page)
        expect(page.locator("#veil")).to_be_hidden()
        assert ["Making the map", False] in page.evaluate("said"), "it showed no progress"
        assert statuses(page, "map.json")[-2:] == [202, 200] and 200 in statuses(page, "/v1/jobs/")
        told(page, r"Sample Token: [\d,]+ holders, \d+ clusters")
        assert shades(page) > 20, "the canvas is empty"
        reader.shoot(page, "dark")


def is_used_by_keys_alone(reader):
    with reader.page() as page:
        page.goto(reader.url)
        shows_the_map(page)
        holders = int(page.get_attribute("#top", "max"))
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.classList.contains('pick')"):
                break
        else:
            raise AssertionError("Tab does not come to the list")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        told(page, "^Cluster 2: .* holders? with")
        expect(page.locator("#details h2")).to_have_text("Cluster 2")
        assert page.url.endswith("#cluster-2")
        reader.shoot(page, "cluster")
        page.keyboard.press("Escape")
        told(page, "Nothing selected")

        page.keyboard.press("/")
        page.keyboard.type("#7")
        page.keyboard.press("Enter")
        told(page, "rank 7,")
        reader.shoot(page, "holder")
        address = page.get_attribute("#details .mono", "title")
        page.fill("#search", address)
        expect(page.locator("#holders tr")).to_have_count(1)
        page.fill("#search", "nobody is called this")
        expect(page.locator("#no-holders")).to_be_visible()
        page.fill("#search", "")
        expect(page.locator("#holders tr")).to_have_count(min(150, holders))
        page.keyboard.press("Escape")

        page.focus("#canvas")
        for key, moves in (("ArrowLeft", "x"), ("ArrowUp", "y"), ("+", "scale")):
            before = page.evaluate(f"holdfast.eye.{moves}")
            page.keyboard.press(key)
            until(page, f"holdfast.still && holdfast.eye.{moves} > {before}")
        page.keyboard.press("0")
        until(page, "holdfast.still")

        page.focus("#top")
        page.keyboard.press("Home")
        until(page, "holdfast.shown === 1 && holdfast.still && holdfast.drawn <= 1")
        page.keyboard.press("End")
        until(page, f"holdfast.shown === {holders} && holdfast.still && holdfast.drawn > 1")


def is_used_with_a_mouse(reader):
    with reader.page() as page:
        page.goto(reader.url)
        shows_the_map(page)
        page.click("#zoom-all")
        until(page, "holdfast.still")
        place = page.evaluate("holdfast.where(0)")
        page.mouse.move(place["x"], place["y"])
        expect(page.locator("#tip")).to_be_visible()
        page.mouse.click(place["x"], place["y"])
        told(page, "rank 1,")
        reader.shoot(page, "hub")
        page.keyboard.press("Escape")
        before = page.evaluate("holdfast.eye")
        page.mouse.move(60, 300)
        page.mouse.down()
        page.mouse.move(90, 320, steps=4)
        page.mouse.up()
        after = page.evaluate("holdfast.eye")
        assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (30, 20), (before, after)
        page.mouse.wheel(0, -200)
        until(page, f"holdfast.eye.scale > {after['scale']}")
        dark = page.evaluate(GROUND)
        page.click("#theme")
        assert page.evaluate(GROUND) != dark, "light is as dark"
        page.click("#zoom-all")
        reader.shoot(page, "light")
        page.reload()
        shows_the_map(page)
        assert page.evaluate(GROUND) != dark, "the theme is forgotten"


def asks_for_another_report_and_another_time(reader):
    with reader.page() as page:
        page.goto(reader.url)
        shows_the_map(page)
        expect(page.locator("#hub-control")).to_be_visible()
        degree = page.inner_text("#hub-value")
        page.focus("#hub")
        page.keyboard.press("ArrowLeft")
        expect(page).to_have_url(re.compile("hubDegree="))
        assert page.inner_text("#hub-value") != degree
        assert 202 in statuses(page, "map.json?hubDegree"), "it needed no other report"

        # The history is made by a worker as well.
        expect(page.locator("#time-control")).to_be_visible()
        assert statuses(page, "/history")[-1] == 200
        now = page.inner_text("#about")
        reader.shoot(page, "time")
        page.focus("#time")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#about")).not_to_have_text(now)
        expect(page).to_have_url(re.compile("block="))
        assert statuses(page, "block=")[-1] == 200
        until(page, "document.getElementById('bar').hidden && holdfast.still")
        page.focus("#time")
        page.keyboard.press("End")
        expect(page.locator("#about")).to_have_text(now)
        expect(page).not_to_have_url(re.compile("block="))
        page.click("#play")
        expect(page.locator("#about")).not_to_have_text(now)
        page.click("#play")
        expect(page.locator("#play")).to_have_attribute("aria-pressed", "false")


def fits_a_phone(reader):
    for scheme in ("dark", "light"):
        phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
        with reader.page(color_scheme=scheme, **phone) as page:
            page.goto(reader.url)
            shows_the_map(page)
            assert page.evaluate(SCROLLS) <= 0, "it is wider than a phone"
            reader.shoot(page, f"phone-{scheme}")
            page.tap("#zoom-all")
            until(page, "holdfast.still")
            place = page.evaluate("holdfast.where(0)")
            page.touchscreen.tap(place["x"], place["y"])
            told(page, "rank 1,")
            assert page.evaluate(SCROLLS) <= 0, "with details it is wider than a phone"


def stands_still_for_whom_motion_is_too_much(reader):
    with reader.page(reduced_motion="reduce") as page:
        page.goto(reader.url)
        shows_the_map(page)
        before, after = page.evaluate("""() => {
            const before = holdfast.eye.scale;
            document.getElementById("zoom-in").click();
            return [before, holdfast.eye.scale];
        }""")
        assert after > before * 1.3, "it is not there at once"


def says_what_went_wrong(reader):
    answers = [(503, '{"detail":"busy"}'), (500, '{"detail":"Something broke."}')]

    def answer(route):
        if not answers:
            return route.continue_()
        status, body = answers.pop(0)
        route.fulfill(status=status, body=body, content_type="application/json", headers={"retry-after": "0.4"})

    with reader.page() as page:
        page.route("**/map.json*", answer)
        page.goto(reader.url)
        expect(page.locator("#veil-text")).to_have_text("Something broke.")
        assert statuses(page, "map.json") == [503, 500]
        reader.shoot(page, "trouble")
        page.click("#again")
        shows_the_map(page)
        page.route("**/map.json*", lambda route: route.abort())
        page.focus("#hub")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#veil-text")).to_have_text("The server cannot be reached.")


def main():
    url, token = sys.argv[1:3]
    folder = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
    chromium = found()
    # Other tests have the machine's cores as well.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        reader = Reader(browser, url, token, folder)
        for look in (asks_who_is_there_and_then_makes_the_map, is_used_by_keys_alone, is_used_with_a_mouse,
                     asks_for_another_report_and_another_time, fits_a_phone, stands_still_for_whom_motion_is_too_much,
                     says_what_went_wrong):
            started = time.monotonic()
            look(reader)
            print(f"the map {look.__name__.replace('_', ' ')}: {time.monotonic() - started:.1f} s")
        browser.close()


if __name__ == "__main__":
    main()
