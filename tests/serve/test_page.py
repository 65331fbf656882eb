"""The page in a real browser: Chromium without a window, driven by selenium."""

import base64
import shutil
import threading
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from time_limits import LIMIT_S, wait_until

from mindcv.data import EvalPreprocess
from mindcv.export import Classifier, export_model
from mindcv.models import create_model
from mindcv.serve import Service, create_app
from mindcv.serve.server import address_of, make_server, open_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed")

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
CHINA, FLOWER = PHOTOS / "china.jpg", PHOTOS / "flower.jpg"
TOKEN = "correct-horse-battery"

# Drops or pastes a file as the desktop would.
GIVE = """
const [text, name, type] = arguments;
const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name));
const options = {bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data};
if (type === "drop") document.body.dispatchEvent(new DragEvent("dragenter", options));
const veil = getComputedStyle(document.getElementById("veil")).display;
document.body.dispatchEvent(new (type === "drop" ? DragEvent : ClipboardEvent)(type, options));
return veil;
"""
# The least contrast between a text and what is behind it (WCAG 2.2, 1.4.3), of all texts that can be seen.
CONTRAST = """
const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
const linear = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => sum + share * linear(c[i] / 255), 0);
function ground(element) {
  for (; element; element = element.parentElement) {
    const colour = channels(getComputedStyle(element).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
}
const found = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
  const pair = [channels(getComputedStyle(element).color), ground(element)].map(luminance).sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), texts.currentNode.data.trim()]);
}
return found.sort((a, b) => a[0] - b[0]);
"""


class Page:
    """A page in the browser, and what a user does with it."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        browser.get(address)
        wait_until(lambda: self.find("body").get_attribute("data-ready"), "the page")

    def find(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)

    def give(self, path: Path, how: str) -> str:
        return self.browser.execute_script(GIVE, base64.b64encode(path.read_bytes()).decode(), path.name, how)

    def wait_for(self, selector: str, text: str) -> None:
        wait_until(lambda: text in self.text(selector), f"{text!r} in {selector}")

    def labels(self) -> list[str]:
        return [element.text for element in self.browser.find_elements(By.CSS_SELECTOR, "#labels .class")]

    def complaints(self) -> list[str]:
        """What the browser says against the page, but for answers that refuse."""
        return [
            entry["message"]
            for entry in self.browser.get_log("browser")
            if "Failed to load resource: the server responded with a status of 4" not in entry["message"]
        ]


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--no-sandbox",  # CI is root
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--window-size=1200,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(LIMIT_S)
    yield driver
    driver.quit()


@pytest.fixture
def serve(monkeypatch):
    """Serves a classifier, until the test ends, and returns its address."""
    running = []

    def start(classifier: Classifier, **options) -> str:
        service = Service(classifier)
        service.warm_up()
        started = threading.Event()
        server = make_server(create_app(service, **options), started.set)
        listener = open_port("127.0.0.1", 0)
        address = address_of(listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        running.append((server, thread))
        assert started.wait(LIMIT_S)
        return address

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(LIMIT_S)


def test_a_photo_is_named_and_a_text_refused(browser, serve, tmp_path):
    classifier = Classifier("efficientnet_lite0")
    expected = {path: classifier.predict(path)[0].labels for path in (FLOWER, CHINA)}
    assert expected[FLOWER][0].name == "daisy"
    page = Page(browser, serve(classifier))
    assert page.text("#name") == "efficientnet_lite0"
    assert page.text("#facts").endswith(" 224 pixels · 1,000 classes")

    assert page.give(FLOWER, "drop") == "grid"  # the veil over the page, while the file hangs over it
    page.wait_for("#status", "daisy, ")
    assert page.labels() == [label.name for label in expected[FLOWER]]
    widths = browser.execute_script(
        "return [...document.querySelectorAll('.bar')].map((bar) => parseFloat(bar.style.width) / 100)"
    )
    assert widths == pytest.approx([label.probability for label in expected[FLOWER]], rel=1e-3)
    assert page.text("#time-all").endswith(" ms")

    # where it looks: for the first class, then for the one that is asked for, by keyboard
    page.wait_for("#caption", "What the network sees of flower.jpg, and where it looks for daisy")
    third = page.find("#labels li:nth-child(3) button")
    third.send_keys(Keys.ENTER)
    page.wait_for("#caption", f"where it looks for {expected[FLOWER][2].name}")
    assert third.get_attribute("aria-pressed") == "true"
    sizes = "return ['crop', 'heat'].map((id) => document.getElementById(id).naturalWidth)"
    wait_until(lambda: browser.execute_script(sizes) == [224, 224], "the pictures")
    page.find("#strength").send_keys(Keys.HOME)
    assert page.text("#strength-text") == "0 %"
    wait_until(lambda: page.find("#heat").value_of_css_property("opacity") == "0", "the picture without the map")

    # a text is refused, and what was there stays
    text = tmp_path / "notes.txt"
    text.write_text("These are words and no picture.")
    page.give(text, "drop")
    page.wait_for("#problem", "notes.txt: this is no image file")
    assert page.find("#problem").is_displayed()
    assert page.find("#problem").get_attribute("role") == "alert"
    assert "daisy" in page.text("#status")

    # chosen, pasted, taken; earlier ones come back
    page.find("#file").send_keys(str(CHINA))
    page.wait_for("#caption", f"china.jpg, and where it looks for {expected[CHINA][0].name}")
    assert not page.find("#problem").is_displayed()
    page.give(FLOWER, "paste")
    page.wait_for("#caption", "flower.jpg, and where it looks for daisy")
    page.find("#camera").send_keys(Keys.ENTER)
    wait_until(lambda: page.find("#shoot").is_enabled(), "the camera")
    page.find("#shoot").click()
    page.wait_for("#caption", "What the network sees of camera.jpg, and where it looks for ")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#pictures li")) == 4
    page.find("#pictures li:nth-child(3) button").click()
    page.wait_for("#status", expected[CHINA][0].name)

    # read in both colours, by those who do not see it, and with nothing from elsewhere
    for scheme in ("light", "dark"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        contrasts = browser.execute_script(CONTRAST)
        assert len(contrasts) > 20
        assert contrasts[0][0] >= 4.5, contrasts[0]
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    first = expected[CHINA][0]
    assert ("button", f"{first.name} {100 * first.probability:.0f} %") in named
    assert ("slider", "Where it looks") in named
    assert ("image", "What the network sees of china.jpg") in named
    assert [role for role, name in named if role in ("button", "image", "slider", "link") and not name] == []
    origin = browser.execute_script(
        "return performance.getEntriesByType('resource').map((e) => e.name)"
        ".filter((name) => ![location.origin, `blob:${location.origin}`].some((own) => name.startsWith(own)))"
    )
    assert origin == []
    assert page.complaints() == []


def test_an_exported_file_behind_a_token(browser, serve, tmp_path):
    names = ("<img src=x onerror=alert(1)>", "b", "c")
    network = create_model("squeezenet1_1", num_classes=3).set_train(False)
    export_model(
        network,
        tmp_path / "m.onnx",
        batch_size="dynamic",
        preprocess=EvalPreprocess(32),
        class_names=names,
        model_name="small",
    )
    address = serve(Classifier(tmp_path / "m.onnx"), token=TOKEN)
    browser.get(address)
    find = browser.find_element
    for token, title in (("no token at all", "A token is needed"), (TOKEN, "That token is not the right one")):
        wait_until(lambda title=title: find(By.ID, "token-title").text == title, title)
        find(By.ID, "token").send_keys(token, Keys.ENTER)
    wait_until(lambda: find(By.ID, "name").text == "small", "the model")
    page = Page(browser, address)  # the tab keeps the token
    assert "an exported file (onnx) has no gradients" in page.text("#unexplained")
    page.give(FLOWER, "drop")
    page.wait_for("#caption", "What the network sees of flower.jpg")
    assert sorted(page.labels()) == sorted(names)  # as text
    assert browser.find_elements(By.CSS_SELECTOR, "#labels img, #labels button") == []
    assert not page.find("#heat").is_displayed()
    assert page.complaints() == []


def test_the_keyboard_reaches_everything(browser, serve):
    network = create_model("squeezenet1_1", num_classes=3).set_train(False)
    page = Page(browser, serve(Classifier(network, preprocess=EvalPreprocess(32))))
    page.give(FLOWER, "drop")
    page.wait_for("#caption", "where it looks for")
    reached = []
    for _ in range(12):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        script = "const e = document.activeElement; return [e.id || e.className || e.textContent, "
        script += "getComputedStyle(e).outlineStyle]"
        reached.append(tuple(browser.execute_script(script)))
    for name in ("strength", "another", "camera", "label", "Interface", "Metrics"):
        assert (name, "solid") in reached
