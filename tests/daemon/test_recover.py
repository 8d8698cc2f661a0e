"""After a lost state directory, `recover` lets the next run deliver exactly what is missing."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.sidecar import LAKE, Sidecar, append, number_lines
from tests.servers.stores import ACCESS_KEY, BUCKET, SECRET, ObjectStore
from tests.warm import warm
from tracesidecar.encode.jsonl import decode_lines

FILES = 40
LINES = 5000
S3 = (
    '[[sink]]\nname = "lake"\ntype = "s3"\nbucket = "{bucket}"\nprefix = "agents"\n'
    'endpoint_url = "{url}"\naccess_key = "{access}"\nsecret_key = "{secret}"\npath_style = true\n'
    'batch = {{ age = "500ms", idle = "100ms", lines = 300 }}\n'
)


def lose_state(sidecar: Sidecar) -> None:
    """Remove the state directory, but for the compiled rules."""
    shutil.rmtree(sidecar.state)
    warm(sidecar.state)


def write(sidecar: Sidecar, first: int, count: int) -> list[bytes]:
    """Append lines to the files in turn, as many agents would; return them."""
    lines = number_lines(first, count)
    for number in range(FILES):
        append(sidecar.traces / f"{number}.jsonl", lines[number::FILES])
    return lines


def rotate(sidecar: Sidecar) -> list[bytes]:
    """Rotate a quarter of the files in each of three ways, and write on under the old names."""
    more: list[bytes] = []
    for number in range(0, FILES, 4):
        path = sidecar.traces / f"{number}.jsonl"
        append(path, late := number_lines(100_000 + 10 * number, 2))
        more += late
        path.rename(rotated := path.with_name(f"{number}.1.jsonl"))
        if number % 8 == 0:
            with rotated.open("rb") as plain, gzip.open(f"{rotated}.gz", "wb") as packed:
                shutil.copyfileobj(plain, packed)
            rotated.unlink()
        append(path, late := number_lines(100_005 + 10 * number, 3))
        more += late
    for number in range(1, FILES, 4):
        (sidecar.traces / f"{number}.jsonl").unlink()  # delivered, and gone
    return more


def recover(sidecar: Sidecar, *words: str) -> dict[str, list[dict[str, object]]]:
    done = sidecar.call("recover", "lake", "--json", *words)
    assert done.returncode == 0, done
    document: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
    return document


def delivers_exactly_the_rest(
    sidecar: Sidecar, read: Callable[[], list[bytes]], lines: list[bytes]
) -> None:
    """Deliver half, write and rotate, lose the state, recover, and deliver the rest."""
    before = write(sidecar, 0, LINES // 2)
    assert sidecar.ship().returncode == 0
    assert Counter(read()) == Counter(before)
    after = [*rotate(sidecar), *write(sidecar, LINES, LINES // 2)]
    lose_state(sidecar)
    dry = recover(sidecar, "--dry-run")
    found = recover(sidecar)
    assert found["recovered"] == dry["recovered"]
    assert len(found["recovered"]) == FILES * 3 // 4
    assert {each["why"] for each in found["not_found"]} == {"other content"}  # same name, new file
    assert len(found["not_found"]) == FILES // 4
    done = sidecar.ship()
    assert done.returncode == 0, done
    assert Counter(read()) == Counter([*before, *after])
    done = sidecar.ask("verify", "lake", "--json")
    assert done.returncode == 0, done.stdout
    lines += [*before, *after]


def test_a_directory_gets_exactly_what_is_missing(sidecar: Sidecar) -> None:
    sidecar.configure(
        LAKE.format(lake=sidecar.lake), source=f'include = ["{sidecar.traces}/*.jsonl*"]'
    )
    sidecar.config.write_text(
        sidecar.config.read_text().replace(f'include = ["{sidecar.traces}/**/*.jsonl"]\n', "")
    )
    delivers_exactly_the_rest(sidecar, sidecar.lines, [])


@pytest.mark.long
def test_a_bucket_gets_exactly_what_is_missing(sidecar: Sidecar, object_store: ObjectStore) -> None:
    sidecar.configure(
        S3.format(bucket=BUCKET, url=object_store.url, access=ACCESS_KEY, secret=SECRET),
        source=f'include = ["{sidecar.traces}/*.jsonl*"]',
    )
    sidecar.config.write_text(
        sidecar.config.read_text().replace(f'include = ["{sidecar.traces}/**/*.jsonl"]\n', "")
    )

    def read() -> list[bytes]:
        client = object_store.client()
        listed = client.list_objects_v2(Bucket=BUCKET, Prefix="agents/raw/")
        return [
            line
            for each in listed.get("Contents", [])
            for line in decode_lines(
                client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read(), "gzip"
            ).splitlines()
        ]

    delivers_exactly_the_rest(sidecar, read, [])


def session(first: int, count: int) -> list[bytes]:
    """Lines of a Claude Code session: later ones mean what they do by what earlier ones said."""
    return [
        json.dumps(
            {
                "type": "user" if n % 2 else "assistant",
                "sessionId": "7b1f0c9e-0000-4000-8000-000000000001",
                "uuid": f"{n:08d}-0000-4000-8000-000000000000",
                "parentUuid": f"{n - 1:08d}-0000-4000-8000-000000000000" if n else None,
                "timestamp": f"2026-11-20T10:{n // 60:02d}:{n % 60:02d}.000Z",
                "cwd": "/work",
                "message": {"role": "user" if n % 2 else "assistant", "content": f"text {n}"},
            }
        ).encode()
        for n in range(first, first + count)
    ]


def rows(sidecar: Sidecar) -> list[dict[str, object]]:
    """Every event of the lake, but for when it was shipped, in the order of the ids."""
    found = [json.loads(line) for line in sidecar.lines()]
    for row in found:
        del row["ingest_time"]
    return sorted(found, key=lambda row: str(row["event_id"]))


def test_events_are_the_same_as_without_the_loss(sidecar: Sidecar, tmp_path: Path) -> None:
    trace = sidecar.traces / ".claude" / "projects" / "p" / "s.jsonl"
    trace.parent.mkdir(parents=True)
    event_sink = LAKE.format(lake=sidecar.lake) + 'format = "event"\n'
    sidecar.configure(event_sink)
    append(trace, [*session(0, 41), b'{"plain": 1}'])
    assert sidecar.ship().returncode == 0
    lose_state(sidecar)
    assert len(recover(sidecar)["recovered"]) == 1
    append(trace, [*session(41, 20), b'{"plain": 2}'])
    assert sidecar.ship().returncode == 0
    with_loss = rows(sidecar)
    shutil.rmtree(sidecar.lake)
    lose_state(sidecar)
    assert sidecar.ship().returncode == 0
    assert with_loss == rows(sidecar)


def test_what_is_known_is_not_replaced_without_force(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    done = sidecar.call("recover", "lake")
    assert done.returncode == 64
    assert b"--force" in done.stderr
    assert sidecar.call("recover", "lake", "--force").returncode == 0
    append(sidecar.traces / "a.jsonl", number_lines(10, 10))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20))


def test_a_file_that_only_has_the_name_is_another_one(sidecar: Sidecar) -> None:
    """Same name, same length, other lines: it is delivered from its beginning."""
    trace = sidecar.traces / "a.jsonl"
    append(trace, number_lines(0, 10))
    assert sidecar.ship().returncode == 0
    lose_state(sidecar)
    content = trace.read_bytes().replace(b"line", b"kine")
    trace.unlink()
    (sidecar.traces / "takes the inode").touch()
    trace.write_bytes(content)
    done = sidecar.call("recover", "lake", "--json")
    assert done.returncode == 0
    [missing] = json.loads(done.stdout)["not_found"]
    assert missing["why"] == "other content"
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter([*number_lines(0, 10), *content.splitlines()])


def test_rejected_lines_are_known_again(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", [*number_lines(0, 5), b"not JSON", *number_lines(5, 5)])
    assert sidecar.ship().returncode == 0
    before = [(each["start"], each["end"], each["reason"]) for each in sidecar.list_quarantined()]
    lose_state(sidecar)
    assert recover(sidecar)["recovered"][0]["refused"] == 1
    after = [(each["start"], each["end"], each["reason"]) for each in sidecar.list_quarantined()]
    assert after == before


def test_a_source_that_has_another_name_by_now_is_recovered(sidecar: Sidecar) -> None:
    lines = write(sidecar, 0, 20)
    assert sidecar.ship().returncode == 0
    text = sidecar.config.read_text()
    moved = sidecar.traces.rename(sidecar.traces.with_name("moved"))
    text = text.replace('name = "agent"', 'name = "builder"').replace(
        str(sidecar.traces), str(moved)
    )
    sidecar.config.write_text(text)
    sidecar.traces = moved
    lose_state(sidecar)
    assert recover(sidecar)["not_found"] == []
    more = number_lines(100, 5)
    append(moved / "one-more.jsonl", more)
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more)


def test_a_damaged_manifest_lets_nothing_be_delivered_again_without_a_word(
    sidecar: Sidecar,
) -> None:
    """Seen: 65 and half a state; the next run delivered half of the lines again, exit 0."""
    lines = number_lines(0, 20)
    append(sidecar.traces / "a.jsonl", lines)
    assert sidecar.ship().returncode == 0
    lines += number_lines(20, 10)
    append(sidecar.traces / "b.jsonl", number_lines(20, 10))
    assert sidecar.ship().returncode == 0
    shutil.rmtree(sidecar.state)
    manifests = sorted(sidecar.lake.glob("**/_manifest/**/*.json"))
    whole = {path: path.read_bytes() for path in manifests}
    damaged = [
        path for path in manifests if b'/a.jsonl"' in whole[path]
    ]  # of one batch, or several
    assert 0 < len(damaged) < len(manifests)
    for path in damaged:
        path.write_bytes(whole[path][:100])

    dry = sidecar.call("recover", "lake", "--dry-run", "--json")
    assert (dry.returncode, json.loads(dry.stdout)["saved"]) == (65, False)
    assert not sidecar.state.exists(), "a dry run writes no state"
    for _ in range(2):
        done = sidecar.call("recover", "lake", "--json")
        assert (done.returncode, json.loads(done.stdout)["saved"]) == (65, False)
        for path in damaged:
            assert f"{path.name} is not a manifest".encode() in done.stderr
        assert b"nothing was saved" in done.stderr
        assert b"--partial" in done.stderr
        asked = sidecar.ship()
        assert asked.returncode == 78
        assert b"tracesidecar recover lake" in asked.stderr
    assert Counter(sidecar.lines()) == Counter(lines)

    for path in damaged:
        path.write_bytes(whole[path])
    whole_again = sidecar.call("recover", "lake", "--json")
    assert (whole_again.returncode, json.loads(whole_again.stdout)["saved"]) == (0, True)
    append(sidecar.traces / "a.jsonl", more := number_lines(100, 5))
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more)


def test_a_recovery_in_part_says_what_comes_again(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", number_lines(0, 20))
    assert sidecar.ship().returncode == 0
    append(sidecar.traces / "b.jsonl", number_lines(20, 10))
    assert sidecar.ship().returncode == 0
    lose_state(sidecar)
    for path in sidecar.lake.glob("**/_manifest/**/*.json"):
        if b'/a.jsonl"' in path.read_bytes():  # an object's name may end in a.jsonl, too
            path.write_bytes(b"{}")
    done = sidecar.call("recover", "lake", "--partial", "--json")
    assert (done.returncode, json.loads(done.stdout)["saved"]) == (65, True)
    assert b"what only those had is delivered again" in done.stderr
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(number_lines(0, 20) * 2 + number_lines(20, 10))
    notices = json.loads(sidecar.ask("status", "--json").stdout)["notices"]
    assert [each["event"] for each in notices] == ["sink.recovered_in_part"]


def test_a_recovery_without_the_store_or_a_manifest_changes_no_start(sidecar: Sidecar) -> None:
    """A store that is away is asked again; in an empty one there is nothing to recover."""
    append(sidecar.traces / "a.jsonl", number_lines(0, 5))
    sidecar.lake.mkdir()
    assert sidecar.call("recover", "lake").returncode == 64
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 5)
    lose_state(sidecar)
    sidecar.lake.rename(away := sidecar.folder / "away")
    sidecar.lake.touch()
    assert sidecar.call("recover", "lake").returncode == 75
    sidecar.lake.unlink()
    away.rename(sidecar.lake)
    assert sidecar.ship().returncode == 78
    assert recover(sidecar)["not_found"] == []
    assert sidecar.ship().returncode == 0
    assert sidecar.lines() == number_lines(0, 5)


def test_a_planted_manifest_leads_to_no_file_that_no_source_follows(sidecar: Sidecar) -> None:
    """Seen: who owned the lake named another user's file, and its lines were in the lake."""
    append(sidecar.traces / "a.jsonl", lines := number_lines(0, 5))
    assert sidecar.ship().returncode == 0
    append(outside := sidecar.folder / "outside.jsonl", number_lines(100, 2))
    append(unmatched := sidecar.traces / "private.json", number_lines(200, 2))
    around = f"{sidecar.traces}/../{outside.name}"
    [manifest] = sidecar.lake.glob("_manifest/v1/dt=*/*.json")
    members = json.loads(manifest.read_bytes())
    [delivered] = members["ranges"]
    nothing = {"start": 0, "end": 0, "lines": 0, "records": 0, "last": ""}
    number = 100
    for path in (str(outside), str(unmatched), around, f"{unmatched}\0"):
        status = (unmatched if unmatched.name in path else outside).stat()
        for device, inode in ((status.st_dev, status.st_ino), (0, 0)):
            planted = {"segment": number, "path": path, "device": device, "inode": inode}
            members["ranges"].append({**delivered, **nothing, **planted})
            number += 1
    manifest.write_text(json.dumps(members))
    lose_state(sidecar)
    assert len(recover(sidecar)["not_found"]) == number - 100
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines)


def test_a_file_that_went_out_of_the_globs_is_known_by_its_content(sidecar: Sidecar) -> None:
    append(sidecar.traces / "a.jsonl", lines := number_lines(0, 5))
    assert sidecar.ship().returncode == 0
    lose_state(sidecar)
    renamed = (sidecar.traces / "a.jsonl").rename(sidecar.traces / "a.old")
    append(renamed, more := number_lines(5, 5))
    assert recover(sidecar)["not_found"] == []
    assert sidecar.ship().returncode == 0
    assert Counter(sidecar.lines()) == Counter(lines + more)
