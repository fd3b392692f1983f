"""Ids are injective, safe, and distinct where file systems do not tell case apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manifests import ids

site_ids = st.text(min_size=1, max_size=60)


@given(site_ids, site_ids)
def test_video_ids_are_injective_and_safe(first, second):
    a, b = ids.video_id("Youtube", first, ""), ids.video_id("Youtube", second, "")
    assert ids.GRAMMAR.fullmatch(a)
    assert (a == b) == (first == second)
    assert (a.lower() == b.lower()) == (first == second)


def test_generic_links_and_files_are_named_by_content():
    assert ids.video_id("Generic", "clip", "ab" * 32) == ids.video_id(None, None, "ab" * 32)
    assert ids.video_id("Generic", "clip", "ab" * 32) != ids.video_id("Generic", "clip", "cd" * 32)


def test_pages_of_no_named_site_are_named_by_content():
    from yt_dlp.extractor.genericembeds import HTML5MediaEmbedIE

    key = HTML5MediaEmbedIE.ie_key()
    assert ids.video_id(key, "a-1", "ab" * 32) != ids.video_id(key, "a-1", "cd" * 32)


def test_awkward_ids_stay_distinct():
    names = ["-abc", "abc", "ABC", "_abc", "a.b", "a/b", "a b", "ü"]
    made = {ids.video_id("Youtube", n, "") for n in names}
    assert len(made) == len(names)
    for name in made:
        assert ids.check_key(ids.clip_id(ids.track_id(ids.shot_id(name, 1), 2), 3))
