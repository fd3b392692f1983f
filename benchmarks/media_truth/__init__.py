"""Truth for media: what the reader gives, against what was composed and what ffmpeg decodes.

A talking clip with its frame number burnt in and a marked sound is written into many containers
and with many defects; then each canonical frame and each sample that `manifests.media` reads is
held against two truths. `counter` and `marks` are what is composed, `recipe` says how a file is
written, `compose` and `patches` write it; `containers`, `contents` and `defects` are the table;
`reference` asks ffmpeg, `compare` and `hearing` judge, `__main__` is the command.
docs/media-truth.md says what is proven.
"""
