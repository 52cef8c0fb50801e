import hashlib
import io
import zipfile

import pytest

from mtl_bench.datasets.store import download as module
from mtl_bench.datasets.store.download import download, extract_members
from mtl_bench.errors import DataError
from tests.datasets.store.server import CONTENT, Server

SHA256 = hashlib.sha256(CONTENT).hexdigest()


def silent(line):
    pass


def test_fetches_checks_and_leaves_no_part(tmp_path):
    target = tmp_path / "deep" / "file"
    lines = []
    with Server() as server:
        download(server.url, target, SHA256, lines.append)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert lines == [f"downloading {server.url} (attempt 1 of 3)"]


def test_goes_on_where_a_broken_transfer_ended(tmp_path):
    with Server(limits=[1000, 500]) as server:
        download(server.url, tmp_path / "file", SHA256, silent)
    assert server.requests == [None, "bytes=1000-", "bytes=1500-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_gives_up_with_the_remedy_and_a_later_call_goes_on(tmp_path):
    with Server(limits=[100] * module.ATTEMPTS) as server:
        with pytest.raises(DataError, match="same command again to go on") as caught:
            download(server.url, tmp_path / "file", SHA256, silent)
        assert server.url in str(caught.value)
        assert str(tmp_path / "file") in str(caught.value)
        assert not (tmp_path / "file").exists()
        download(server.url, tmp_path / "file", SHA256, silent)
        assert server.requests[-1] == f"bytes={100 * module.ATTEMPTS}-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_begins_anew_where_the_server_knows_no_ranges(tmp_path):
    (tmp_path / "file.part").write_bytes(b"stale")
    with Server(ranges=False) as server:
        download(server.url, tmp_path / "file", SHA256, silent)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_begins_anew_when_the_part_is_as_long_as_the_file(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[::-1])
    with Server() as server:
        download(server.url, tmp_path / "file", SHA256, silent)
    assert server.requests == [f"bytes={len(CONTENT)}-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(tmp_path):
    with Server() as server, pytest.raises(DataError, match=f"{SHA256}, expected {'0' * 64}"):
        download(server.url, tmp_path / "file", "0" * 64, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_server_or_file_is_one_line(tmp_path):
    with Server(status=404) as server, pytest.raises(DataError, match="HTTP Error 404") as caught:
        download(server.url, tmp_path / "file", None, silent)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"can't download .*refused"):
        download(server.url, tmp_path / "file", None, silent)


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name.replace("__", "/"), content)
    return path


def test_only_the_named_members_leave_an_archive(tmp_path):
    path = archive(tmp_path / "a.zip", wanted=CONTENT, other=b"x", **{"..__evil": b"x"})
    folder = tmp_path / "out"
    folder.mkdir()
    extract_members(path, ["wanted"], folder)
    assert [entry.name for entry in folder.iterdir()] == ["wanted"]
    assert (folder / "wanted").read_bytes() == CONTENT
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("fault", ["not a zip", "no member", "flipped"])
def test_a_bad_archive_is_named_and_nothing_is_left(tmp_path, fault):
    path = archive(tmp_path / "a.zip", **{"other" if fault == "no member" else "wanted": CONTENT})
    if fault == "not a zip":
        path.write_bytes(b"<html>")
    if fault == "flipped":
        content = bytearray(path.read_bytes())
        content[60] ^= 0xFF
        path.write_bytes(content)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match=r"a\.zip is not the expected archive"):
        extract_members(path, ["wanted"], folder)
    assert list(folder.iterdir()) == []


def test_a_stored_member_with_a_wrong_checksum_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("wanted", CONTENT)
    (tmp_path / "a.zip").write_bytes(buffer.getvalue().replace(CONTENT, CONTENT[::-1]))
    with pytest.raises(DataError, match="CRC"):
        extract_members(tmp_path / "a.zip", ["wanted"], tmp_path)
