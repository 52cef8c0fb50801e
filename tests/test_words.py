import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtl_bench.config.compose import compose_config
from mtl_bench.errors import ConfigError
from mtl_bench.words import parse_count, parse_settings


def test_words_replace_defaults_and_underscores_stand_for_dots():
    found = parse_settings(["paths.data=a/b"], paths__data="data", only=None)
    assert found == {"paths.data": "a/b", "only": None}


@pytest.mark.parametrize("word", ["other=1", "only", "paths__data=x"])
def test_an_unknown_word_names_those_that_are_allowed(word):
    with pytest.raises(ConfigError, match=r"allowed: paths\.data=, only="):
        parse_settings([word], paths__data="data", only=None)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", ""])
def test_a_count_is_a_whole_number_from_one_on(value):
    with pytest.raises(ConfigError, match="steps="):
        parse_count({"steps": value}, "steps")
    assert parse_count({"steps": "12"}, "steps") == 12


def read_by_train(word):
    """Return the folder that a training puts its records in, None if the word is refused."""
    try:
        config = compose_config(["dataset=qm9", "method=ls", "profile=smoke", word])
    except ConfigError:
        return None
    return config["paths"]["results"]


def read_by_others(word):
    try:
        return parse_settings([word], paths__results="results")["paths.results"]
    except ConfigError:
        return None


@pytest.mark.parametrize(
    ("value", "folder"),
    [
        ("r/a.b-c_d", "r/a.b-c_d"),
        ('"r/a,b"', "r/a,b"),
        ("'r/a,b'", "r/a,b"),
        ("r/a,b", None),
        ("a b", "a b"),
        ('"it\'s"', "it's"),
        (r'"say \"x\""', 'say "x"'),
        ("it's", None),
        ("a=b", None),
        ('"a=b"', "a=b"),
        ("a\\b", "a\\b"),
        ('"${oc.env:PLACE}/b"', "here/b"),
        ("${oc.env:PLACE}/b", "here/b"),
        (r'"\${x}"', "${x}"),
        ('"${x}"', None),
        ("é", None),
        ('"é"', "é"),
        ("7", None),
        ('"7"', "7"),
        ("1e3", None),
        (".5", None),
        ("Null", None),
        ("nullx", "nullx"),
        ("[a]", None),
        ("range(0,3)", None),
        ("", None),
        ('""', None),
    ],
)
def test_train_and_the_other_commands_read_a_folder_alike(value, folder, monkeypatch):
    monkeypatch.setenv("PLACE", "here")
    word = f"paths.results={value}"
    assert (read_by_train(word), read_by_others(word)) == (folder, folder)


@settings(max_examples=400)
@given(st.text(alphabet="aeinftrusl019._-/+", min_size=1, max_size=6))
@example("inf")
@example("-nan")
@example("1_0")
def test_a_plain_word_is_what_the_grammar_of_overrides_makes_of_it(value):
    """Nearly all are read without the grammar."""
    word = f"paths.results={value}"
    try:
        read = OverridesParser.create().parse_override(word).value()
    except HydraException:
        read = None
    assert read_by_others(word) == (read if isinstance(read, str) else None)


def test_a_value_that_cant_be_read_is_named_with_the_remedy():
    with pytest.raises(ConfigError, match=r"can't read paths\.data=a=b: .* quote .*data=\"a=b\"'$"):
        parse_settings(["paths.data=a=b"], paths__data="data")


def test_several_values_are_for_the_keys_that_take_them():
    words = ["seed=0, 1,2", "method=ls,taskforce-gram", "only=taskforce,taskforce same_batch"]
    found = parse_settings(words, seed=None, method=None, only=None)
    assert list(found.values()) == [word.partition("=")[2] for word in words]
    with pytest.raises(ConfigError, match="profile=mini,demo: must be one value"):
        parse_settings(["profile=mini,demo"], profile=None)
