"""The cache of decoded pictures as the commands use it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.cli.command import succeed
from tests.data.photographs import write_photographs

from isoconv.data import cache


@pytest.fixture
def own_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone, which trusts files that were just written."""
    monkeypatch.setattr(cache, "default_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(cache, "_RACY", -(10**18))
    return tmp_path / "cache"


def count(folder: Path) -> int:
    """How many pictures are kept."""
    kept = cache.PictureCache(folder)
    try:
        return kept.size()[0]
    finally:
        kept.close()


def test_commands_and_their_cache(own_pictures: Path, tmp_path: Path) -> None:
    """Without --no-cache pictures are kept; info tells of them and removes them."""
    write_photographs(tmp_path / "data", 24, (90, 80))
    words = ("train", tmp_path / "data", "--epochs", "1", "--size", "28", "--model", "lenet5",
             "--threads", "1", "--no-report", "--out")  # fmt: skip
    succeed(*words, tmp_path / "first", "--no-cache")
    assert count(own_pictures) == 0
    succeed(*words, tmp_path / "second")
    assert count(own_pictures) == 24
    assert (tmp_path / "first" / "receipt.json").read_bytes() == (
        tmp_path / "second" / "receipt.json"
    ).read_bytes()
    said = succeed("info")
    assert str(own_pictures) in said
    assert "24 pictures, " in said
    assert "removed 24 decoded pictures\n" in succeed("info", "--clear-cache")
    assert count(own_pictures) == 0


def test_verify_sees_the_files(own_pictures: Path, tmp_path: Path) -> None:
    """What lies in the cache is no witness of what the files hold."""
    write_photographs(tmp_path / "data", 24, (90, 80))
    run = tmp_path / "run"
    succeed("train", tmp_path / "data", "--epochs", "1", "--size", "28", "--model", "lenet5",
            "--threads", "1", "--no-report", "--out", run)  # fmt: skip
    with sqlite3.connect(own_pictures / "pictures-1.db") as database:
        # Every picture becomes the one that is first.
        rows = database.execute("SELECT key, told, pixels FROM pictures").fetchall()
        for key, told, _ in rows:
            other = rows[0][2]
            digest = cache._picture_digest(key, told, other)
            database.execute(
                "UPDATE pictures SET pixels = ?, digest = ? WHERE key = ?", (other, digest, key)
            )
    assert "identical" in succeed("verify", run, "--threads", "1")
