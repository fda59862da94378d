"""Descriptions are validated field by field."""

import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwijax.errors import InputError
from dwijax.schema import Such, read_json, validate

SPEC = {"name": str, "size": Such(int, lambda n: n > 0, "a positive integer"), "scale": float,
        "whole?": bool, "rows": [[float]], "more": (None, {str: int}),
        "points": (float, [float]), "anything": object}
GOOD = {"name": "x", "size": 3, "scale": 1, "rows": [[1, 2.5], []], "more": {"a": 1}, "points": [1],
        "anything": {"x": [None]}}


def refused(value, spec=SPEC):
    with pytest.raises(InputError) as caught:
        validate(value, spec, "file.json", remedy="make it again")
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


def test_what_fits_is_returned():
    assert validate(GOOD, SPEC, "file.json", remedy="") is GOOD
    validate(GOOD | {"whole": True, "more": None, "points": 2}, SPEC, "file.json", remedy="")
    validate({"known": 1, "other": "x"}, {"known": int, str: str}, "file.json", remedy="")


@pytest.mark.parametrize(("change", "told"), [
    ({"name": 3}, "file.json, field name: found 3; expected text; make it again"),
    ({"size": 0}, "field size: found 0; expected a positive integer"),
    ({"size": 2.0}, "field size: found 2.0; expected a positive integer"),
    ({"size": True}, "field size: found true"),
    ({"size": 2**63}, "field size: found 9223372036854775808"),
    ({"scale": math.nan}, "field scale: found NaN; expected a finite number"),
    ({"scale": True}, "field scale: found true"),
    ({"whole": 1}, "field whole: found 1; expected true or false"),
    ({"rows": [[1], [2, "x"]]}, 'field rows.1.1: found "x"; expected a finite number'),
    ({"rows": {}}, "field rows: found {}; expected a list"),
    ({"more": 1}, "field more: found 1; expected null or a mapping"),
    ({"more": {"a": None}}, "field more.a: found null; expected an integer"),
    ({"points": [None]}, "field points.0: found null"),
    ({"other": 1}, 'found an unknown field "other"'),
    ({"name": "\n" * 99}, None),
])
def test_first_misfit_is_named(change, told):
    if told is None:
        assert "\n" not in refused({"size": GOOD | change})
    else:
        assert told in refused(GOOD | change)


def test_missing_fields_and_wrong_roots():
    assert "field scale: found nothing; expected a finite number" in refused(
        {k: v for k, v in GOOD.items() if k != "scale"})
    for root in (None, [], "x", 3, math.nan):
        assert refused(root).startswith("file.json: found ")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON, st.sampled_from(sorted(GOOD)))
def test_any_value_fits_or_is_refused(value, field):
    try:
        validate(GOOD | {field: value}, SPEC, "file.json", remedy="")
    except InputError as error:
        assert field in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("content", [
    '{"a": "é"}'.encode(), '\ufeff{"a": "é"}'.encode(), '{"a": "é"}'.encode("latin-1"),
    '{"a": "é"}'.encode("utf-16")])
def test_encodings(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    assert read_json(tmp_path / "x.json", expected="", remedy="") == {"a": "é"}


@pytest.mark.parametrize(("name", "told"), [
    ("cut", "no JSON"), ("deep", "nested without end"), ("binary", "no JSON"), ("none", "no such"),
    ("pipe", "a device or a pipe"), (".", "a folder"), ("large", "2 MiB"), ("a\0b", "null"),
    ("x" * 5000, "File name too long")])
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, name, told):
    for file, content in [("cut", b'{"a": '), ("deep", b"[" * 10**5), ("binary", bytes(range(256))),
                          ("large", b" " * 2**21)]:
        (tmp_path / file).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=told):
        read_json(tmp_path / name, expected="JSON", remedy="", largest=2**20)
