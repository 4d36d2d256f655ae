"""How many frames a second the map shows in Chromium while it is moved: `python tests/browser/frames.py PAGE.html…`.

For each page a line of JSON: its holders, the frames of an empty page just before, and those of the map while it is
dragged, moved by keys and zoomed by a wheel, from real input, which comes oftener than frames do. Counted are frames in
which the view is another than in the one before; `slow95` is how many milliseconds apart 95 % of them are at most.
"""

import asyncio
import json
import pathlib
import sys

from playwright.async_api import async_playwright

from chromium import FLAGS, found

DESKTOP = {"width": 1440, "height": 900}
SECONDS = 2.5
# The most there is to be had: a page that paints one small rectangle a frame, and a view that says so.
EMPTY = """<!doctype html><canvas id="canvas" width="300" height="300"></canvas><script>
    const pen = document.getElementById("canvas").getContext("2d");
    let x = 0;
    window.holdfast = { get eye() { return { x, y: 0, scale: 1 }; } };
    (function next() { pen.fillStyle = ++x % 2 ? "#123" : "#321"; pen.fillRect(0, 0, 50, 50); requestAnimationFrame(next); })();
</script>"""
WATCH = """(seconds) => new Promise((done) => {
    const gaps = [];
    let first = null, last = null, before = "";
    requestAnimationFrame(function next(now) {
        first ??= now;
        const { x, y, scale } = holdfast.eye, view = `${x} ${y} ${scale}`;
        if (view !== before) { if (last !== null) gaps.push(now - last); last = now; }
        before = view;
        if (now - first < seconds * 1000) return requestAnimationFrame(next);
        gaps.sort((a, b) => a - b);
        done({ rate: gaps.length * 1000 / (now - first), slow95: gaps[Math.floor(gaps.length * 0.95)] ?? null });
    });
})"""


async def nothing(send, until):
    await until


async def drag(send, until):
    x, y, step = 520, 450, 0
    await send("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", buttons=1, clickCount=1)
    while not until.done():
        way = 1 if step // 50 % 2 == 0 else -1
        x, y, step = x + 4 * way, y + 2 * way, step + 1
        send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        await asyncio.sleep(0.008)
    await send("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", buttons=0, clickCount=1)


async def keys(send, until):
    step = 0
    while not until.done():
        name, code = (("ArrowLeft", 37), ("ArrowRight", 39))[step // 8 % 2]
        step += 1
        send("Input.dispatchKeyEvent", type="keyDown", key=name, code=name, windowsVirtualKeyCode=code)
        # As a key that is held down repeats.
        await asyncio.sleep(0.033)


async def wheel(send, until):
    step = 0
    while not until.done():
        way = 1 if step // 90 % 2 == 0 else -1
        step += 1
        send("Input.dispatchMouseEvent", type="mouseWheel", x=520, y=450, deltaX=0, deltaY=-6 * way)
        await asyncio.sleep(0.008)


async def watched(page, move):
    """What a page shows while it is moved so."""
    session = await page.context.new_cdp_session(page)
    sent = []

    def send(kind, **what):
        sent.append(asyncio.ensure_future(session.send(kind, what)))
        return sent[-1]

    until = asyncio.ensure_future(page.evaluate(WATCH, SECONDS))
    await move(send, until)
    await asyncio.gather(*sent)
    return await until


async def measured(browser, path):
    page = await browser.new_page(viewport=DESKTOP, color_scheme="dark")
    await page.set_content(EMPTY)
    empty = await watched(page, nothing)
    await page.goto(path.resolve().as_uri())
    while not await page.evaluate("window.holdfast?.drawn > 0 && holdfast.still"):
        await page.wait_for_timeout(50)
    told = {"page": path.name, "holders": int(await page.get_attribute("#top", "max")), "empty": empty["rate"]}
    for move in (drag, keys, wheel):
        if move is keys:
            await page.focus("#canvas")
        told[move.__name__] = await watched(page, move)
        await page.click("#zoom-all")
    await page.close()
    return told


async def main():
    chromium = found()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for path in sys.argv[1:]:
            print(json.dumps(await measured(browser, pathlib.Path(path))), flush=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
