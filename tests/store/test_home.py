"""Paths below a home folder that may be unknown."""

import pwd
from pathlib import Path

import pytest

from kdrun.errors import ConfigError
from kdrun.store.home import expand_home


def test_the_home_folder_is_put_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/data") == Path("/home/me/data")
    assert expand_home("data~") == Path("data~")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(ConfigError, match=r"HOME is not set.*set HOME, or KDRUN_CACHE=x"):
        expand_home("~/data", "KDRUN_CACHE=x")
