import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.words import parse_count, parse_settings


def test_words_replace_defaults_and_underscores_stand_for_dots():
    settings = parse_settings(["paths.data=a=b"], paths__data="data", only=None)
    assert settings == {"paths.data": "a=b", "only": None}


@pytest.mark.parametrize("word", ["other=1", "only", "paths__data=x"])
def test_an_unknown_word_names_those_that_are_allowed(word):
    with pytest.raises(ConfigError, match=r"allowed: paths\.data=, only="):
        parse_settings([word], paths__data="data", only=None)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", ""])
def test_a_count_is_a_whole_number_from_one_on(value):
    with pytest.raises(ConfigError, match="steps="):
        parse_count({"steps": value}, "steps")
    assert parse_count({"steps": "12"}, "steps") == 12
