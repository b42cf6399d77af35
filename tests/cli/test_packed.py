"""Packed data sets on the command line: packed, shown, checked, and trained on as their source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.command import call, digest_of, fail, succeed
from tests.data.spoiled import fill, picture


@pytest.mark.slow
def test_a_pack_is_a_source_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights come of it, and the run is verified and measured with either."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "pets", "png", 12)
    (tmp_path / "pets" / "cat" / "bad.png").write_bytes(b"hello")
    told = call("data", "pack", "pets", "pets.pack", "--size", "16").stderr
    assert "error: pets/cat/bad.png: not a whole image" in told
    assert "stay in pets.pack.part: the same command goes on from there" in told
    packed = succeed("data", "pack", "pets", "pets.pack", "--size", "16", "--skip-bad")
    assert "pets.pack: 24 train; 20.6 KiB, SHA-256" in packed
    shown = json.loads(call("data", "show", "pets.pack", "--json").stdout)
    plain = json.loads(call("data", "show", "pets", "--size", "16", "--skip-bad", "--json").stdout)
    assert shown["pack"]["blocks"] == 1
    for different in ("pack", "name"):
        assert shown.pop(different) != plain.pop(different)
    assert shown == plain
    assert shown["parts"]["train"]["images_by_class"] == [12, 12]
    assert "1 block as it was packed" in succeed("data", "check", "pets.pack")
    training = ("--model", "lenet5", "--epochs", "2", "--no-report")
    one = succeed("train", "pets", "--size", "16", "--skip-bad", "--out", "one", *training)
    other = succeed("train", "pets.pack", "--out", "other", *training)
    assert digest_of(one) == digest_of(other)
    assert "no difference found" in succeed("diff", "one", "other")
    receipts = [json.loads(Path(run, "receipt.json").read_bytes()) for run in ("one", "other")]
    names = [set(receipt["machine"].pop("data").values()) for receipt in receipts]
    assert names == [{"pets"}, {"pets.pack"}]
    assert [receipt["split"].pop("size") for receipt in receipts] == [[16, 16], None]
    assert receipts[0].pop("digest") != receipts[1].pop("digest")
    assert receipts[0] == receipts[1]
    assert "identical" in succeed("verify", "one", "--data", "pets.pack")
    assert "identical" in succeed("verify", "other", "--data", "pets")
    measured = [
        json.loads(call("evaluate", run, data, "--json").stdout)
        for run, data in (("one", "pets"), ("other", "pets.pack"), ("one", "pets.pack"))
    ]
    for each in measured:
        each.pop("data")
    assert measured[0] == measured[1] == measured[2]
    assert measured[0]["split"] == "test"
    succeed("resume", "other", "--epochs", "3")
    succeed("report", "other")
    content = bytearray((tmp_path / "pets.pack").read_bytes())
    content[4096] ^= 1
    (tmp_path / "pets.pack").write_bytes(content)
    damaged = fail("data", "check", "pets.pack")
    assert "1 fault" in damaged
    assert "block 0" in damaged
    assert "block 0" in fail("train", "pets.pack", *training)
    picture(tmp_path / "pets" / "cat" / "one.png")
    assert "is there already" in fail("data", "pack", "pets", "pets.pack")
