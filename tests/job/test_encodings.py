import pytest

from batchrun.job.encodings import encoding_name, is_utf8


@pytest.mark.parametrize("name", ["windows-1252", "latin-1", "UTF-16", "shift_jis", "utf-8-sig", "cp437"])
def test_encodings_of_text_are_accepted_as_they_are_written(name: str) -> None:
    assert encoding_name(name) == name


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("windows1252x", "must be an encoding, such as windows-1252, latin-1 or utf-16; did you mean windows-1252?"),
        ("utf-61", "must be an encoding, such as windows-1252, latin-1 or utf-16; did you mean utf-16?"),
        ("qqqqq", "must be an encoding, such as windows-1252, latin-1 or utf-16"),
        ("base64", "must be an encoding, such as windows-1252, latin-1 or utf-16"),
        ("a\0b", "must be an encoding, such as windows-1252, latin-1 or utf-16"),
        ("", "must be the name of an encoding, such as windows-1252"),
        (7, "must be the name of an encoding, such as windows-1252"),
    ],
)
def test_other_names_are_refused_with_the_nearest(value: object, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        encoding_name(value)
    assert str(refused.value) == problem


def test_utf_8_is_read_as_it_is() -> None:
    assert [is_utf8(name) for name in (None, "utf8", "UTF-8", "utf-8-sig", "latin-1")] == [True] * 4 + [False]
