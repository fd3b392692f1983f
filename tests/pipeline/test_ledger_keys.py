"""A corpus that an earlier release began goes on: what its finished work is found by stays."""

from __future__ import annotations

import pytest

from manifests import records as rec
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.run.ledger import digest
from tests.factories import filled

RECORDS = {
    "Correction": "5f2421d1a577db0c",
    "Request": "c37a0afd7a3a7e6f",
    "Source": "4aa901ac7465e660",
    "Fetched": "cbd1f6d733bf08af",
    "Video": "5c383736f516f4f0",
    "Shot": "dbce7795a1ef5034",
    "Track": "0f036aac7fa73607",
    "Identity": "f70199cf879f90dc",
    "Offset": "7e59fc7b5627c8ec",
    "Measured": "967415f95cd9eb91",
    "Clip": "a5d2016249ac8fb0",
    "Speaker": "67304a6154a4f414",
    "Sample": "4041e9e89765c4d4",
}

CONFIGS = {
    "expand": "6308bbc16b9f6476",
    "download": "1e51d09330728bb9",
    "probe": "650b80d890744d96",
    "shots": "31cd7d5011ea3911",
    "tracks": "3d564029f62e17c4",
    "identity": "245964da145ed1f3",
    "sync": "627b717cb5189915",
    "clips": "aa24dc52659b2d8a",
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_records_part_of_the_key_stays(name):
    """If it must change, old corpora do that stage's work again: say so in CHANGELOG.md."""
    assert digest(filled(getattr(rec, name)))[:16] == RECORDS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_the_default_settings_part_of_the_key_stays(name):
    assert digest(stage_configs(BuildConfig())[name])[:16] == CONFIGS[name]
