import hashlib
import io
import stat
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mtl_bench.datasets.store import download as module
from mtl_bench.datasets.store.download import download, extract_members
from mtl_bench.errors import DataError

CONTENT = bytes(range(256)) * 40
LIMIT = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; breaks off after ``limits`` bytes, one limit a request, then never."""

    def __init__(self, limits=(), ranges=True, status=200):
        self.limits, self.ranges, self.status = list(limits), ranges, status
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.limits.pop(0)] if server.limits else body)

    def log_message(self, *args):
        pass


def silent(line):
    pass


def test_fetches_checks_and_leaves_no_part(tmp_path):
    target = tmp_path / "deep" / "file"
    lines = []
    with Server() as server:
        download(server.url, target, LIMIT, SHA256, lines.append)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert lines == [f"downloading {server.url} (attempt 1 of 3)"]


def test_goes_on_where_a_broken_transfer_ended(tmp_path):
    with Server(limits=[1000, 500]) as server:
        download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
    assert server.requests == [None, "bytes=1000-", "bytes=1500-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_gives_up_with_the_remedy_and_a_later_call_goes_on(tmp_path):
    with Server(limits=[100] * module.ATTEMPTS) as server:
        with pytest.raises(DataError, match="same command again to go on") as caught:
            download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
        assert server.url in str(caught.value)
        assert str(tmp_path / "file") in str(caught.value)
        assert not (tmp_path / "file").exists()
        download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
        assert server.requests[-1] == f"bytes={100 * module.ATTEMPTS}-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_begins_anew_where_the_server_knows_no_ranges(tmp_path):
    (tmp_path / "file.part").write_bytes(b"stale")
    with Server(ranges=False) as server:
        download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_begins_anew_when_the_part_is_as_long_as_the_file(tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[::-1])
    with Server() as server:
        download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
    assert server.requests == [f"bytes={len(CONTENT)}-", None]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing(tmp_path):
    with Server() as server, pytest.raises(DataError, match=f"{SHA256}, expected {'0' * 64}"):
        download(server.url, tmp_path / "file", LIMIT, "0" * 64, silent)
    assert list(tmp_path.iterdir()) == []


def test_an_absent_server_or_file_is_one_line(tmp_path):
    with Server(status=404) as server, pytest.raises(DataError, match="HTTP Error 404") as caught:
        download(server.url, tmp_path / "file", LIMIT, None, silent)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"can't download .*refused"):
        download(server.url, tmp_path / "file", LIMIT, None, silent)


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name.replace("__", "/"), content)
    return path


def test_only_the_named_members_leave_an_archive(tmp_path):
    path = archive(tmp_path / "a.zip", wanted=CONTENT, other=b"x", **{"..__evil": b"x"})
    folder = tmp_path / "out"
    folder.mkdir()
    extract_members(path, {"wanted": LIMIT}, folder)
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
        extract_members(path, {"wanted": LIMIT}, folder)
    assert list(folder.iterdir()) == []


def test_a_stored_member_with_a_wrong_checksum_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("wanted", CONTENT)
    (tmp_path / "a.zip").write_bytes(buffer.getvalue().replace(CONTENT, CONTENT[::-1]))
    with pytest.raises(DataError, match="CRC"):
        extract_members(tmp_path / "a.zip", {"wanted": LIMIT}, tmp_path)


def test_a_member_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path):
    path = archive(tmp_path / "a.zip", wanted=bytes(50 * LIMIT))
    assert path.stat().st_size < LIMIT  # a bomb is small
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match=rf"wanted unpacks to {50 * LIMIT} bytes, at most {LIMIT}"):
        extract_members(path, {"wanted": LIMIT}, folder)
    assert list(folder.iterdir()) == []


def test_a_member_that_is_longer_than_it_says_is_not_believed(tmp_path):
    """The stated size bounds what is unpacked; the checksum is then that of something else."""
    path = archive(tmp_path / "a.zip", wanted=bytes(50 * LIMIT))
    true, said = (size.to_bytes(4, "little") for size in (50 * LIMIT, LIMIT))
    assert path.read_bytes().count(true) == 2  # in the member's header and in the directory
    path.write_bytes(path.read_bytes().replace(true, said))
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match="Bad CRC"):
        extract_members(path, {"wanted": LIMIT}, folder)
    assert list(folder.iterdir()) == []


def test_an_encrypted_or_strangely_compressed_member_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("wanted", CONTENT)
    path = archive(tmp_path / "b.zip", wanted=CONTENT)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    for name in ("a.zip", "b.zip"):
        with pytest.raises(DataError, match=rf"{name} is not .*encrypted or compressed in an unk"):
            extract_members(tmp_path / name, {"wanted": LIMIT}, tmp_path)
    assert not (tmp_path / "wanted").exists()


def test_a_member_that_says_it_is_a_link_becomes_a_plain_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        link = zipfile.ZipInfo("wanted")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    extract_members(tmp_path / "a.zip", {"wanted": LIMIT}, tmp_path)
    assert not (tmp_path / "wanted").is_symlink()
    assert (tmp_path / "wanted").read_text() == "/etc/passwd"


def test_a_file_that_is_too_large_is_not_kept(tmp_path):
    with Server() as server, pytest.raises(DataError, match=rf"more than the {LIMIT - 1} bytes"):
        download(server.url, tmp_path / "file", LIMIT - 1, None, silent)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "file.part").symlink_to(tmp_path / "mine")
    with Server() as server:
        download(server.url, tmp_path / "file", LIMIT, SHA256, silent)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert (tmp_path / "mine").read_text() == "mine"
