"""Pictures per second come from what the workers measured."""

from __future__ import annotations

from manifests.records import Shot
from pipeline import status
from pipeline.graph import MAIN_JOB
from pipeline.ledger import Entry, Ledger


def entry(unit: str, **extra: float) -> Entry:
    return Entry("shots", unit, f"key of {unit}", [], extra=extra)


def test_rates_are_of_totals_and_survive_the_ledger(tmp_path):
    made = [entry("a", detector_items=100, detector_s=2.0, worker_s=4.0, landmarker_items=50,
                  landmarker_s=0.5),
            entry("b", detector_items=300, detector_s=2.0, worker_s=6.0),
            entry("c", worker_s=90.0)]  # measured before there were figures: it has no say
    ledger = Ledger(tmp_path)
    for one in made:
        ledger.put(one, Shot)
    read = {one.unit: ledger.get("shots", one.unit, one.key) for one in made}
    rows = {r["stage"]: r for r in status.rows(MAIN_JOB, {"shots": read})}
    row = rows["shots"]
    assert (row["pictures"], row["pictures_per_network_s"], row["pictures_per_worker_s"]) == (
        400, 100.0, 40.0)
    assert (row["faces"], row["faces_per_network_s"]) == (50, 100.0)
    assert rows["probe"]["pictures"] is None
    line = status.speed_line(list(rows.values()), "yunet", "dlib_68")
    assert line == ("yunet: 400 pictures, 100.0 per second of its own, 40.0 per second of a "
                    "worker; dlib_68: 50 faces, 100.0 per second")
    assert status.speed_line([rows["probe"]], "yunet", "dlib_68") is None
