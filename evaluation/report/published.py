"""Printed results of the papers, to stand beside ours. Nothing here was measured by us.

Columns are our metrics' names where the paper's definition is ours; otherwise a name of the
paper's own (`k-wer`, its in-house recogniser), for which a table of ours has no figure.
Error rates are fractions here and in our tables.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """One printed row."""

    paper: str
    table: str
    data: str
    model: str
    values: dict[str, float]


NIU, VOUGIOUKAS = "Niu and Mak 2023", "Vougioukas et al. 2019"
EPHRAT, LIP2SPEECH = "Ephrat et al. 2017", "Lip2Speech (YLD)"
GRID4, TCD, CHEM = "GRID-4S", "TCD-TIMIT-LS", "Lip2Wav chem"
_NIU2 = (
    "stoi",
    "estoi",
    "pesq",
    "mcd",
    "a-stoi",
    "a-estoi",
    "a-pesq",
    "a-mcd",
    "offset-r2-f",
    "offset-r2-sn",
    "wer-whisper-medium",
    "k-wer",
)
_BASE = ("stoi", "estoi", "pesq", "mcd")
_VOUG = ("pesq-raw", "wer-own", "av-confidence", "av-offset-frames", "stoi", "mcd")
_EPHRAT = ("stoi", "estoi", "pesq", "visqol")


def _rows(paper: str, table: str, columns: tuple[str, ...], rows: tuple) -> tuple[Published, ...]:
    return tuple(
        Published(
            paper,
            table,
            data,
            model,
            {name: value for name, value in zip(columns, values, strict=True) if value is not None},
        )
        for data, model, *values in rows
    )


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        NIU,
        "2",
        _NIU2,
        (
            (
                GRID4,
                "VCA-GAN",
                0.688,
                0.500,
                1.917,
                29.720,
                0.732,
                0.552,
                1.910,
                28.437,
                -0.002,
                -0.030,
                0.2367,
                0.0850,
            ),
            (
                GRID4,
                "SLTS w/o ASM",
                0.698,
                0.519,
                1.906,
                27.438,
                0.753,
                0.582,
                1.903,
                25.684,
                -0.001,
                -0.030,
                0.1533,
                0.0492,
            ),
            (
                GRID4,
                "SLTS",
                0.703,
                0.525,
                1.932,
                27.327,
                0.761,
                0.592,
                1.933,
                25.404,
                0.862,
                0.383,
                0.1283,
                0.0292,
            ),
            (
                TCD,
                "VCA-GAN",
                0.577,
                0.398,
                1.373,
                33.450,
                0.593,
                0.412,
                1.376,
                33.175,
                -0.038,
                -0.164,
                0.7996,
                None,
            ),
            (
                TCD,
                "SLTS w/o ASM",
                0.622,
                0.460,
                1.480,
                30.334,
                0.650,
                0.496,
                1.482,
                29.667,
                -0.585,
                -0.164,
                0.5040,
                None,
            ),
            (
                TCD,
                "SLTS",
                0.606,
                0.445,
                1.480,
                30.818,
                0.664,
                0.511,
                1.480,
                29.430,
                0.796,
                0.525,
                0.3806,
                None,
            ),
            (
                CHEM,
                "VCA-GAN",
                0.543,
                0.364,
                1.363,
                37.827,
                0.659,
                0.477,
                1.365,
                34.600,
                -0.000,
                -2.725,
                0.4820,
                None,
            ),
            (
                CHEM,
                "SLTS w/o ASM",
                0.603,
                0.445,
                1.478,
                34.104,
                0.736,
                0.578,
                1.481,
                30.291,
                -0.005,
                -2.725,
                0.3303,
                None,
            ),
            (
                CHEM,
                "SLTS",
                0.215,
                0.049,
                1.520,
                49.481,
                0.760,
                0.616,
                1.515,
                29.130,
                0.982,
                0.704,
                0.2469,
                None,
            ),
        ),
    ),
    *_rows(
        NIU,
        "4",
        (
            "a-stoi",
            "a-estoi",
            "a-pesq",
            "a-mcd",
            "wer-whisper-medium",
            "mos-intelligibility",
            "mos-naturalness",
        ),
        (
            (CHEM, "VCA-GAN", 0.659, 0.477, 1.365, 34.600, 0.4820, 3.250, 2.042),
            (CHEM, "SLTS", 0.760, 0.616, 1.515, 29.130, 0.2469, 3.633, 1.858),
            (CHEM, "SLTS w/ dis", 0.738, 0.583, 1.405, 31.856, 0.2655, 4.483, 4.267),
            (CHEM, "Real voice", 1.0, 1.0, 4.549, 0.0, 0.0, 4.808, 4.975),
        ),
    ),
    *_rows(
        NIU,
        "5",
        _BASE,
        (
            (GRID4, "E2E-V2AResNet", 0.627, None, 2.030, 27.790),
            (GRID4, "Yadav et al.", 0.724, 0.540, 1.932, None),
            (GRID4, "VCA-GAN", 0.724, 0.609, 2.008, None),
            (GRID4, "Lip2Wav", 0.731, 0.535, 1.722, None),
            (GRID4, "Kim et al.", 0.738, 0.579, 1.984, None),
            (GRID4, "SLTS, test set synced", 0.757, 0.588, 1.931, 25.491),
        ),
    ),
    *_rows(
        NIU,
        "6",
        _BASE,
        (
            (TCD, "E2E-V2AResNet", 0.472, None, 1.540, 36.190),
            (TCD, "Ephrat et al.", 0.487, 0.310, 1.231, None),
            (TCD, "GAN-based", 0.511, 0.321, 1.218, None),
            (TCD, "Lip2Wav", 0.558, 0.365, 1.350, None),
            (TCD, "VCA-GAN", 0.584, 0.401, 1.425, None),
            (TCD, "SLTS, test set synced", 0.661, 0.507, 1.474, 29.689),
        ),
    ),
    *_rows(
        NIU,
        "7",
        _BASE[:3],
        (
            ("Lip2Wav chem", "Lip2Wav", 0.416, 0.284, 1.300),
            ("Lip2Wav chem", "Hong et al.", 0.566, 0.429, 1.529),
            ("Lip2Wav chem", "SLTS, test set synced", 0.757, 0.612, 1.514),
            ("Lip2Wav chess", "Lip2Wav", 0.418, 0.290, 1.400),
            ("Lip2Wav chess", "Hong et al.", 0.506, 0.334, 1.503),
            ("Lip2Wav chess", "SLTS, test set synced", 0.680, 0.451, 1.604),
            ("Lip2Wav dl", "Lip2Wav", 0.282, 0.183, 1.671),
            ("Lip2Wav dl", "Hong et al.", 0.576, 0.402, 1.612),
            ("Lip2Wav dl", "SLTS, test set synced", 0.565, 0.320, 1.513),
            ("Lip2Wav hs", "Lip2Wav", 0.446, 0.311, 1.290),
            ("Lip2Wav hs", "Hong et al.", 0.504, 0.337, 1.366),
            ("Lip2Wav hs", "SLTS, test set synced", 0.590, 0.394, 1.402),
            ("Lip2Wav eh", "Lip2Wav", 0.369, 0.220, 1.367),
            ("Lip2Wav eh", "Hong et al.", 0.463, 0.304, 1.362),
            ("Lip2Wav eh", "SLTS, test set synced", 0.482, 0.268, 1.428),
        ),
    ),
    *_rows(
        VOUGIOUKAS,
        "2",
        _VOUG,
        (
            ("GRID, seen speakers", "Lip2AudSpec", 1.82, 0.325, 3.5, 1, 0.446, 38.14),
            ("GRID, seen speakers", "Proposed", 1.71, 0.266, 4.4, 1, 0.518, 22.29),
        ),
    ),
    *_rows(
        VOUGIOUKAS,
        "3",
        _VOUG,
        (
            ("GRID, seen speakers", "Full", 1.71, 0.266, 4.4, 1, 0.518, 22.29),
            ("GRID, seen speakers", "w/o L1", 1.45, 0.332, 3.9, 1, 0.450, 26.87),
            ("GRID, seen speakers", "w/o TV", 1.44, 0.313, 3.9, 1, 0.483, 25.82),
            ("GRID, seen speakers", "w/o perceptual", 1.14, 0.833, 2.0, 5, 0.378, 30.12),
        ),
    ),
    *_rows(
        VOUGIOUKAS,
        "4",
        _VOUG,
        (("GRID, unseen speakers", "Proposed", 1.24, 0.405, 4.1, 1, 0.445, 24.29),),
    ),
    *_rows(
        EPHRAT,
        "2",
        _EPHRAT,
        (
            ("GRID S1", "Lin-synth", 0.475, 0.263, 1.952, 3.324),
            ("GRID S1", "Mel-synth", 0.442, 0.260, 1.782, 3.108),
            ("GRID S2", "Lin-synth", 0.667, 0.462, 2.136, 3.316),
            ("GRID S2", "Mel-synth", 0.631, 0.434, 2.107, 3.070),
            ("GRID S3", "Lin-synth", 0.680, 0.354, 1.904, 3.349),
            ("GRID S3", "Mel-synth", 0.666, 0.398, 1.974, 3.164),
            ("GRID S4", "Lin-synth", 0.700, 0.462, 1.922, 3.300),
            ("GRID S4", "Mel-synth", 0.644, 0.429, 1.809, 3.092),
        ),
    ),
    *_rows(
        EPHRAT,
        "4",
        _EPHRAT,
        (
            ("TCD-TIMIT lipspeaker 1", "Lin-synth", 0.318, 0.171, 1.384, 2.943),
            ("TCD-TIMIT lipspeaker 1", "Mel-synth", 0.274, 0.116, 1.309, 2.533),
            ("TCD-TIMIT lipspeaker 2", "Lin-synth", 0.357, 0.157, 1.158, 2.931),
            ("TCD-TIMIT lipspeaker 2", "Mel-synth", 0.307, 0.123, 1.080, 2.431),
            ("TCD-TIMIT lipspeaker 3", "Lin-synth", 0.630, 0.447, 1.612, 3.201),
            ("TCD-TIMIT lipspeaker 3", "Mel-synth", 0.565, 0.373, 1.484, 2.834),
        ),
    ),
    *_rows(
        EPHRAT,
        "5",
        ("stoi", "pesq", "visqol"),
        (
            ("GRID S3", "Optical flow only", 0.381, 1.478, 2.786),
            ("GRID S3", "Pixels only", 0.67, 1.949, 3.179),
            ("GRID S3", "Pixels + optical flow", 0.665, 1.921, 3.173),
            ("GRID S3", "Pixels + optical flow + post-net", 0.68, 1.974, 3.349),
        ),
    ),
    *_rows(
        EPHRAT,
        "3",
        _EPHRAT,
        (
            ("GRID S3", "Vid2speech", 0.638, None, 1.875, 3.13),
            ("GRID S3", "Cornu et al.", None, 0.437, 2.055, None),
            ("GRID S3", "Proposed", 0.68, 0.398, 1.974, 3.349),
            ("GRID S4", "Vid2speech", 0.584, None, 1.19, 2.691),
            ("GRID S4", "Cornu et al.", None, 0.434, 1.686, None),
            ("GRID S4", "Proposed", 0.7, 0.462, 1.922, 3.3),
        ),
    ),
    *_rows(
        LIP2SPEECH,
        "1",
        ("mos-quality", "mos-face-voice"),
        (
            ("70 clips of LRW", "ground truth", 4.56, 4.44),
            ("70 clips of LRW", "speaker audio embedding", 3.37, 3.12),
            ("70 clips of LRW", "speaker face embedding", 3.55, 3.03),
        ),
    ),
    *_rows(
        LIP2SPEECH,
        "2",
        ("stoi", "estoi", "pesq", "wer-own"),
        (("153 test samples", "Lip2Speech", 0.66, 0.42, 1.38, 0.261),),
    ),
)


def beside(names: list[str]) -> list[Published]:
    """Printed rows that share at least one column with a table of these metrics."""
    return [row for row in PUBLISHED if row.values.keys() & set(names)]
