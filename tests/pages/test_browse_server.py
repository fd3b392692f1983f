"""`yld browse` without a browser: who is answered, ranges, filters, orders."""

from __future__ import annotations

import http.client
import json
import threading
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus
from pipeline.browse.media import part_of
from pipeline.browse.server import Browser, Server
from pipeline.cli import main
from pipeline.corpus import marks
from tests.pages.made import corpus


@pytest.fixture(scope="module")
def browsed(tmp_path_factory):
    browser = Browser(Corpus(corpus(tmp_path_factory.mktemp("browse") / "corpus")))
    with Server(browser) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield browser, server
        server.shutdown()


def ask(server, path, method="GET", body=None, **headers):
    host, port = server.server_address
    connection = http.client.HTTPConnection(host, port, timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def mark(server, told, **headers):
    return ask(server, "/marks", "POST", json.dumps(told), **headers)


def test_it_listens_on_loopback_alone_and_to_its_own_name_alone(browsed):
    _, server = browsed
    port = server.server_address[1]
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/")[0].status == 200
    assert ask(server, "/", Host=f"localhost:{port}")[0].status == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
        for path in ("/", "/clips", "/clip/v000000-s000-t000-c000.mp4"):
            assert ask(server, path, Host=host)[0].status == 403, (host, path)
    assert ask(server, "/clips", Origin="https://evil.example")[0].status == 403


def test_only_the_page_may_mark(browsed):
    browser, server = browsed
    clip = {"clip": "v000000-s000-t000-c000", "reason": "other"}
    for headers in ({}, {"X_Yld_Token": "guess"}, {"X_Yld_Token": "é"}):
        assert mark(server, clip, **headers)[0].status == 403
    known = {"X_Yld_Token": browser.token}
    assert mark(server, clip, Host="evil.example", **known)[0].status == 403
    assert mark(server, clip, Origin="https://evil.example", **known)[0].status == 403
    assert browser.marks == {} and not (browser.work / marks.NAME).exists()
    assert mark(server, {"clip": "none", "reason": "other"}, **known)[0].status == 404
    for bad in ([], {"clip": 3}, clip | {"reason": "because"}, clip | {"note": 7}):
        assert mark(server, bad, **known)[0].status == 400, bad
    assert ask(server, "/marks", "POST", "x" * 20_000, **known)[0].status == 404
    assert mark(server, clip | {"note": "<b>hm</b>"}, **known)[0].status == 200
    assert marks.read(browser.work)[clip["clip"]].in_words() == "other: <b>hm</b>"
    assert mark(server, clip | {"reason": None}, **known)[0].status == 200
    assert marks.read(browser.work) == {}


def test_the_page_allows_its_own_scripts_alone(browsed):
    browser, server = browsed
    answer, content = ask(server, "/")
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'sha256-" in policy and "default-src 'none'" in policy
    assert browser.token in content.decode()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(server, "/../../etc/passwd")[0].status == 404


def test_clips_come_whole_and_by_range(browsed):
    _, server = browsed
    path = "/clip/v000000-s000-t000-c000.mp4"
    answer, whole = ask(server, path)
    assert answer.status == 200 and whole[4:8] == b"ftyp" and b"fLaC" in whole
    answer, part = ask(server, path, Range="bytes=10-19")
    assert answer.status == 206 and part == whole[10:20]
    assert answer.headers["Content-Range"] == f"bytes 10-19/{len(whole)}"
    assert ask(server, path, Range=f"bytes={len(whole)}-")[0].status == 416
    assert ask(server, "/clip/..%2F..%2Fetc.mp4")[0].status == 404
    assert part_of(100, "bytes=-5") == (95, 100) and part_of(100, "bytes=90-") == (90, 100)
    assert part_of(100, "bytes=90-999") == (90, 100)
    assert part_of(100, None) is None and part_of(100, "lines=1-2") is None


def test_filters_and_orders(browsed):
    _, server = browsed

    def found(**asked):
        answer, content = ask(server, "/clips?" + urlencode(asked))
        assert answer.status == 200, content
        return json.loads(content)

    everything = found(count=200)
    rows = everything["rows"]
    assert everything["total"] == len(rows) == 60
    low = found(**{"least.video_lag_ms": 0, "most.video_lag_ms": 100, "order": "video_lag_ms"})
    lags = [r["video_lag_ms"] for r in low["rows"]]
    assert lags == sorted(lags) and lags[0] >= 0 and lags[-1] <= 100
    wanted = [r for r in rows if r["video_lag_ms"] is not None and 0 <= r["video_lag_ms"] <= 100]
    assert low["total"] == len(wanted) > 0
    down = found(order="confidence", down=1)["rows"]
    assert down[0]["confidence"] == max(r["confidence"] for r in rows)
    one = found(speaker_id=rows[0]["speaker_id"], split="train")
    assert {r["speaker_id"] for r in one["rows"]} == {rows[0]["speaker_id"]}
    assert found(offset_status="undecided")["total"] == sum(
        r["offset_status"] == "undecided" for r in rows
    )
    word = rows[0]["text"].split()[0]
    assert found(words=f"{word.upper()} v000000")["total"] == sum(
        word in r["text"] and r["clip_id"].startswith("v000000") for r in rows
    )
    assert found(source="SUBJECT 3")["total"] == 4 and found(source="channel 1")["total"] == 12
    assert found(**{"least.sharpness": 1e9})["total"] == 0
    assert found(marked="yes")["total"] == 0 and found(marked="no")["total"] == 60
    assert rows[0]["href"].startswith("https://videos.example/") and "shard" not in rows[0]
    for bad in ({"least.nothing": 1}, {"order": "shard"}, {"least.confidence": "nan"}):
        assert ask(server, "/clips?" + urlencode(bad))[0].status == 400, bad


def test_what_cannot_be_browsed_is_said(tmp_path):
    done = CliRunner().invoke(main, ["browse", str(tmp_path)])
    assert done.exit_code == 2 and "holds no corpus" in done.output
