"""Pictures per second come from what the workers measured."""

from __future__ import annotations

from manifests.records import Failure, Reject, Shot
from pipeline.graph import MAIN_JOB
from pipeline.run import status
from pipeline.run.ledger import Entry, Ledger, Result
from tests.factories import blank


def entry(unit: str, **extra: float) -> Entry:
    return Entry("shots", unit, f"key of {unit}", [], extra=extra)


def test_rates_are_of_totals_and_survive_the_ledger(tmp_path):
    made = [
        entry(
            "a",
            detector_items=100,
            detector_s=2.0,
            worker_s=4.0,
            landmarker_items=50,
            landmarker_s=0.5,
        ),
        entry("b", detector_items=300, detector_s=2.0, worker_s=6.0),
        entry("c", worker_s=90.0),
    ]  # measured before there were figures: it has no say
    ledger = Ledger(tmp_path)
    for one in made:
        ledger.put(one, Shot)
    read = {one.unit: ledger.get("shots", one.unit, one.key) for one in made}
    rows = {r["stage"]: r for r in status.rows(MAIN_JOB, {"shots": read})}
    row = rows["shots"]
    assert (row["pictures"], row["pictures_per_network_s"], row["pictures_per_worker_s"]) == (
        400,
        100.0,
        40.0,
    )
    assert (row["faces"], row["faces_per_network_s"]) == (50, 100.0)
    assert row["networks_busy"] == 0.45
    assert rows["probe"]["pictures"] is rows["probe"]["networks_busy"] is None
    line = status.speed_line(list(rows.values()), "yunet", "dlib_68")
    assert line == (
        "yunet: 400 pictures, 100.0 per second of its own, 40.0 per second of a "
        "worker; dlib_68: 50 faces, 100.0 per second; networks at work 45 % of the workers' time"
    )
    assert status.speed_line([rows["probe"]], "yunet", "dlib_68") is None


def test_the_failure_rate_is_of_sources_and_never_over_one():
    def ended(stage: str, unit: str, *results: Result) -> Entry:
        return Entry(stage, unit, "key", list(results))

    fine, fell = Result("i", ["a record"]), Result("i", failure=blank(Failure))
    refused = Result("i", reject=blank(Reject))
    entries = {
        "expand": {
            "r1": ended("expand", "r1", fine),
            "r2": ended("expand", "r2", refused),
            "r3": ended("expand", "r3", fell),
        },
        "download": {"s1": ended("download", "s1", fine)},
        "tracks": {"v1": ended("tracks", "v1", fell, fell, fine)},
        "sync": {"v1": ended("sync", "v1", fell)},
    }
    assert status.failure_rate(entries) == 2 / 3
    assert status.failure_rate({}) == 0
