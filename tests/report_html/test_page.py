"""The page to look at: what is on it, how large it is, what a browser makes of it."""

import base64
import hashlib
import html
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from dwijax.report_html import page
from tests.report_html import browser
from tests.report_html.browser import data_of

MASK = np.zeros((9, 11, 5), bool)
MASK[1:8, 2:10, 1:4] = True
DRIVER = """
<script>
addEventListener("load", async () => {
  const pause = () => new Promise(done => setTimeout(done, 10));
  const place = document.querySelector(".viewer");
  while (!place.dataset.ready) await pause();
  const canvas = place.querySelector(".stage canvas"), told = {};
  const [slice, opacity] = place.querySelectorAll("input");
  const [direction, above] = place.querySelectorAll("select");
  const buttons = [...place.querySelectorAll("button")];
  const set = (control, value, event) => {
    control.value = value;
    control.dispatchEvent(new Event(event));
  };
  const tell = name => {
    const {data} = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1);
    told[name] = [...data.slice(0, 3)];
  };
  tell("start");
  set(slice, 0, "input"); tell("first slice");
  set(direction, "two", "change"); tell("other direction");
  buttons[1].click(); tell("signed");
  set(above, "colour", "change"); set(opacity, 1, "input"); tell("covered");
  set(opacity, 0, "input"); tell("transparent");
  set(opacity, 0.5, "input"); tell("half");
  place.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
  place.dispatchEvent(new KeyboardEvent("keydown", {key: "3"}));
  told.label = place.querySelector("output").textContent;
  told.pressed = buttons.map(b => b.getAttribute("aria-pressed"));
  told.buttons = buttons.map(b => b.textContent);
  told.fetched = performance.getEntriesByType("resource").map(e => e.name.slice(0, 5));
  document.body.dataset.told = JSON.stringify(told);
});
</script>
"""


def shades():
    """Slice s of what is measured is 50 s in one direction and 20 s in the other."""
    slices = page.Slices(MASK, (2, 2, 3), 2)
    ones = np.ones(MASK.shape, np.float32)
    steps = ones * np.arange(5)
    red = np.stack([ones, 0 * ones, 0 * ones], -1)
    return slices.viewer("a <head> & more", [
        slices.gray("measured", 50 * steps, 0, 255, "signal", "direction", "one"),
        slices.gray("measured", 20 * steps, 0, 255, "signal", "direction", "two"),
        slices.signed("difference", ones, 1.0, "a − b"),
        slices.rgb("colour", red, "red")])


def sprite(layer):
    head, content = layer["source"].split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_left_is_right_and_anterior_is_up(axis):
    """A spot in the left, anterior, superior octant of a LAS volume."""
    mask = np.ones((8, 10, 6), bool)
    spot = np.zeros(mask.shape, np.float32)
    spot[6, 8, 4] = 1
    slices = page.Slices(mask, (1, 2, 3), axis)
    picture = slices.cut(spot)
    s, row, column = np.argwhere(picture)[0]
    _, height, width = picture.shape
    assert slices.numbers[s] == (6, 8, 4)[axis]
    assert row < height / 2 and column > width / 2
    assert slices.sides == (("P", "A") if axis == 0 else ("R", "L"))
    sizes = np.delete([8, 20, 18], axis)
    assert slices.ratio == pytest.approx(sizes[1] / sizes[0])


def test_slices_hold_the_values():
    rng = np.random.default_rng(0)
    slices = page.Slices(MASK, (2, 2, 2), 2)
    values = rng.uniform(-1, 1, MASK.shape).astype(np.float32)
    gray = slices.gray("a", values, -1, 1, "a")
    assert slices.numbers == [1, 2, 3] and gray.pixels.shape == (3, 10, 9)
    expected = np.rint((np.where(MASK, values, 0) + 1) * 127.5)[0:9, 1:11, 1:4]
    np.testing.assert_allclose(gray.pixels[:, ::-1].transpose(2, 1, 0), expected, atol=1)
    signed = slices.signed("b", values, 1.0, "b")
    inside = slices.cut(values)
    assert (signed.pixels[slices.cut(MASK) == 0] == 0).all()
    red, blue = signed.pixels[..., 0].astype(int), signed.pixels[..., 2].astype(int)
    assert (red > blue)[inside > 0.1].all() and (blue > red)[inside < -0.1].all()


def test_a_sprite_is_the_slices(tmp_path):
    page.write(tmp_path / "p.html", "p", viewers=[shades()])
    viewer, = data_of((tmp_path / "p.html").read_text())
    assert viewer["slices"] == [1, 2, 3]
    sheet = sprite(viewer["layers"][0])
    height, width = viewer["height"], viewer["width"]
    for at, value in enumerate((50, 100, 150)):
        y, x = divmod(at, viewer["columns"])
        tile = sheet[y * height:(y + 1) * height, x * width:(x + 1) * width]
        assert np.abs(tile[3:-3, 3:-3].astype(int) - value).max() <= 8


def test_markdown_of_reports():
    found = page.to_html("# A <b>\n\n- one `x`\n- two **y**\n\n| m | n |\n|:--|--:|\n| a&b | 2 |\n"
                         "- note\n\nsome\ntext\n\n## End")
    assert found.splitlines() == [
        "<h2>A &lt;b&gt;</h2>",
        '<ul class="notes"><li>one <code>x</code></li><li>two <b>y</b></li></ul>',
        '<div class="scroll"><table><tr><th>m</th><th>n</th></tr><tr><td>a&amp;b</td><td>2</td>'
        "</tr></table></div>",
        '<ul class="notes"><li>note</li></ul>', "<p>some text</p>", "<h2>End</h2>"]


def test_names_of_files_are_no_code(tmp_path):
    evil = "</script><script>alert(1)</script>"
    slices = page.Slices(MASK, (2, 2, 2), 2)
    viewer = slices.viewer(evil, [slices.gray(evil, MASK, 0, 1, evil, evil, evil)])
    Image.new("L", (2, 2)).save(tmp_path / "a&b.png")
    page.write(tmp_path / "p.html", evil, viewers=[viewer], warnings=[evil], text=f"{evil}\n{evil}",
               figures=[tmp_path / "a&b.png"], provenance=[(evil, evil)])
    text = (tmp_path / "p.html").read_text()
    assert "alert(1)" in text and "<script>alert" not in text
    assert data_of(text)[0]["layers"][0]["name"] == evil


def test_where_it_comes_from(tmp_path):
    (tmp_path / "a").write_bytes(b"scan")
    about = {"config": {"b": 1, "a": 2}, "versions": {"jax": "9"}}
    rows = dict(page.provenance(about, [tmp_path / "a", None, tmp_path / "none"]))
    assert rows[tmp_path / "a"] == "sha256 " + hashlib.sha256(b"scan").hexdigest()
    assert rows["config, sha256"] == hashlib.sha256(b'{"a": 2, "b": 1}').hexdigest()
    assert rows["run trained with"] == "jax 9" and len(rows) == 5


def test_the_page_stays_small(tmp_path):
    """A whole head at 1.25 mm, all noise, which nothing compresses, and twenty large figures."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (140, 150, 120), np.uint8)
    layers = [page.Layer(str(i), noise, "gray", 0, 1, "") for i in range(8)]
    layers += [page.Layer(str(i), np.stack([noise] * 3, -1), "rgb", 0, 1, "") for i in range(8, 12)]
    Image.fromarray(rng.integers(0, 256, (400, 400, 3), np.uint8)).save(tmp_path / "f.png")
    viewers = [page.Viewer("noise", layers, list(range(140)), 1.2, ("R", "L"))] * 2
    page.write(tmp_path / "p.html", "p", viewers=viewers, figures=[tmp_path / "f.png"] * 20)
    assert (tmp_path / "p.html").stat().st_size < page.LARGEST
    first, _ = data_of((tmp_path / "p.html").read_text())
    every = np.diff(first["slices"])
    assert (every == every[0]).all() and f"Every {every[0]}th slice" in first["hint"]


def test_directions_nearest_to_the_axes():
    rng = np.random.default_rng(1)
    bvecs = rng.normal(size=(30, 3))
    bvecs /= np.linalg.norm(bvecs, axis=1, keepdims=True)
    found = page.nearest_axes(bvecs)
    assert list(found) == ["left–right", "front–back", "up–down"]
    assert [abs(bvecs[k, i]) for i, k in enumerate(found.values())] == pytest.approx(
        np.abs(bvecs).max(axis=0))
    assert len(set(page.nearest_axes(np.eye(3)[[0, 0, 0]]).values())) == 3
    assert len(page.nearest_axes(bvecs[:2])) == 2


@browser.needed
def test_a_browser_shows_what_is_asked_for(tmp_path):
    path = tmp_path / "p.html"
    page.write(path, "p", viewers=[shades()], warnings=["mind this"])
    text = path.read_text()
    assert not re.search(r"(src|href)=[\"'](?!data:)|https?://", text)
    path.write_text(text.replace("</body>", DRIVER + "</body>"))
    dom = browser.look(path, tmp_path / "home", "--dump-dom")
    told = json.loads(html.unescape(re.search(r'data-told="(.*?)"', dom)[1]))
    assert "mind this" in dom and "a &lt;head&gt; &amp; more" in dom

    def near(name, *expected):
        np.testing.assert_allclose(told[name], expected, atol=6, err_msg=name)

    near("start", 100, 100, 100)
    near("first slice", 50, 50, 50)
    near("other direction", 20, 20, 20)
    near("signed", 103, 0, 31)  # the red end of the colours
    near("covered", 255, 0, 0)
    near("transparent", 103, 0, 31)
    near("half", 179, 0, 16)
    assert told["label"] == "no. 2" and told["pressed"] == ["false", "false", "true"]
    assert told["buttons"] == ["measured", "difference", "colour"]
    assert set(told["fetched"]) <= {"data:"}
