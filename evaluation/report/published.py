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
_NIU2 = ("stoi", "estoi", "pesq", "mcd", "a-stoi", "a-estoi", "a-pesq", "a-mcd",
         "offset-r2-f", "offset-r2-sn", "wer-whisper-medium", "k-wer")
_BASE = ("stoi", "estoi", "pesq", "mcd")
_VOUG = ("pesq-raw", "wer-own", "av-confidence", "stoi", "mcd")


def _rows(paper: str, table: str, columns: tuple[str, ...], rows: tuple) -> tuple[Published, ...]:
    return tuple(
        Published(paper, table, data, model, {
            name: value for name, value in zip(columns, values, strict=True)
            if value is not None})
        for data, model, *values in rows)


PUBLISHED: tuple[Published, ...] = (
    *_rows(NIU, "2", _NIU2, (
        (GRID4, "VCA-GAN", .688, .500, 1.917, 29.720, .732, .552, 1.910, 28.437, -.002, -.030,
         .2367, .0850),
        (GRID4, "SLTS w/o ASM", .698, .519, 1.906, 27.438, .753, .582, 1.903, 25.684, -.001,
         -.030, .1533, .0492),
        (GRID4, "SLTS", .703, .525, 1.932, 27.327, .761, .592, 1.933, 25.404, .862, .383,
         .1283, .0292),
        (TCD, "VCA-GAN", .577, .398, 1.373, 33.450, .593, .412, 1.376, 33.175, -.038, -.164,
         .7996, None),
        (TCD, "SLTS w/o ASM", .622, .460, 1.480, 30.334, .650, .496, 1.482, 29.667, -.585, -.164,
         .5040, None),
        (TCD, "SLTS", .606, .445, 1.480, 30.818, .664, .511, 1.480, 29.430, .796, .525, .3806,
         None),
        (CHEM, "VCA-GAN", .543, .364, 1.363, 37.827, .659, .477, 1.365, 34.600, -.000, -2.725,
         .4820, None),
        (CHEM, "SLTS w/o ASM", .603, .445, 1.478, 34.104, .736, .578, 1.481, 30.291, -.005,
         -2.725, .3303, None),
        (CHEM, "SLTS", .215, .049, 1.520, 49.481, .760, .616, 1.515, 29.130, .982, .704, .2469,
         None))),
    *_rows(NIU, "4", ("a-stoi", "a-estoi", "a-pesq", "a-mcd", "wer-whisper-medium"), (
        (CHEM, "SLTS w/ dis", .738, .583, 1.405, 31.856, .2655),
        (CHEM, "Real voice", 1.0, 1.0, 4.549, 0.0, 0.0))),
    *_rows(NIU, "5", _BASE, (
        (GRID4, "E2E-V2AResNet", .627, None, 2.030, 27.790),
        (GRID4, "Yadav et al.", .724, .540, 1.932, None),
        (GRID4, "VCA-GAN", .724, .609, 2.008, None),
        (GRID4, "Lip2Wav", .731, .535, 1.722, None),
        (GRID4, "Kim et al.", .738, .579, 1.984, None),
        (GRID4, "SLTS, test set synced", .757, .588, 1.931, 25.491))),
    *_rows(NIU, "6", _BASE, (
        (TCD, "E2E-V2AResNet", .472, None, 1.540, 36.190),
        (TCD, "Ephrat et al.", .487, .310, 1.231, None),
        (TCD, "GAN-based", .511, .321, 1.218, None),
        (TCD, "Lip2Wav", .558, .365, 1.350, None),
        (TCD, "VCA-GAN", .584, .401, 1.425, None),
        (TCD, "SLTS, test set synced", .661, .507, 1.474, 29.689))),
    *_rows(NIU, "7", _BASE[:3], (
        ("Lip2Wav chem", "SLTS, test set synced", .757, .612, 1.514),
        ("Lip2Wav chess", "SLTS, test set synced", .680, .451, 1.604),
        ("Lip2Wav dl", "SLTS, test set synced", .565, .320, 1.513),
        ("Lip2Wav hs", "SLTS, test set synced", .590, .394, 1.402),
        ("Lip2Wav eh", "SLTS, test set synced", .482, .268, 1.428))),
    *_rows(VOUGIOUKAS, "2", _VOUG, (
        ("GRID, seen speakers", "Lip2AudSpec", 1.82, .325, 3.5, .446, 38.14),
        ("GRID, seen speakers", "Proposed", 1.71, .266, 4.4, .518, 22.29))),
    *_rows(VOUGIOUKAS, "4", _VOUG, (
        ("GRID, unseen speakers", "Proposed", 1.24, .405, 4.1, .445, 24.29),)),
    *_rows(EPHRAT, "3", ("stoi", "estoi", "pesq", "visqol"), (
        ("GRID S3", "Vid2speech", .638, None, 1.875, 3.13),
        ("GRID S3", "Cornu et al.", None, .437, 2.055, None),
        ("GRID S3", "Proposed", .68, .398, 1.974, 3.349),
        ("GRID S4", "Vid2speech", .584, None, 1.19, 2.691),
        ("GRID S4", "Cornu et al.", None, .434, 1.686, None),
        ("GRID S4", "Proposed", .7, .462, 1.922, 3.3))),
    *_rows(LIP2SPEECH, "2", ("stoi", "estoi", "pesq", "wer-own"), (
        ("153 test samples", "Lip2Speech", .66, .42, 1.38, .261),)),
)


def beside(names: list[str]) -> list[Published]:
    """Printed rows that share at least one column with a table of these metrics."""
    return [row for row in PUBLISHED if row.values.keys() & set(names)]
