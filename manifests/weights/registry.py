"""Which weight files there are: address, licence, size, SHA-256, what for, and what without.

Sizes and SHA-256 are those their makers publish or those of the copies that yld was tried
with. Licences are as the source states them: `non_commercial` marks files that may not be used
commercially, and those whose licence nobody states though their makers' other models are so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A zip file at the address, and the member that is the weight file."""

    member: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """A file that others published."""

    name: str
    """File name in the cache and in a mirror."""
    url: str
    licence: str
    """As its source states it."""
    purpose: str
    """What needs it."""
    without: str
    """What still works without it."""
    size: int | None = None
    """Bytes; None where nobody has published it."""
    sha256: str | None = None
    """None: the first one seen is trusted and recorded."""
    min_size: int = 1
    """Least bytes that can be right, where `size` is not known."""
    non_commercial: bool = False
    """A download needs the user's word that the use is not commercial."""
    archive: Archive | None = None
    """Set where the address is a zip file that holds the weights."""


_RAW = "https://raw.githubusercontent.com"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0"
_FACENET = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
_FAN = "https://www.adrianbulat.com/downloads/python-fan"
_TASKS = "https://storage.googleapis.com/mediapipe-models"
_DETECTION = "dlib_hog for detection, which is part of yld, and the other detectors"
_POINTS = "dlib_68 for landmarks, which is part of yld"
_IDENTITY = "dlib_resnet for identity, which is part of yld"
_FROM_SCRATCH = "the same network, trained from scratch"
_DNSMOS = f"{_RAW}/microsoft/DNS-Challenge/591184a9fcb2cbdec02520fed81a32bbbf9d73ff/DNSMOS/DNSMOS"
_DNS_LICENCE = "CC-BY-4.0, code MIT (microsoft/DNS-Challenge)"
_SCORES = "all other columns of clips"
_SCRFD = "none stated; InsightFace's models are for non-commercial research only"

REGISTRY = {
    file.name: file
    for file in (
        ModelFile(
            "syncnet_v2.model",
            "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            "code MIT (joonson/syncnet_python); none stated for the weights",
            "SyncNet's offset, LSE-D and LSE-C",
            "lipsync for offsets, which is part of yld",
            # float32 of 13 631 616 parameters and 8640 running means and variances.
            min_size=4 * (13_631_616 + 8640),
        ),
        ModelFile(
            "light_asd_ava.model",
            f"{_RAW}/Junhua-Liao/Light-ASD/HEAD/weight/pretrain_AVA_CVPR.model",
            "MIT",
            "Light-ASD's speaking score, trained on AVA-ActiveSpeaker",
            "lipsync for the choice of who speaks, which is part of yld",
            4_175_289,
            "d44bc3ea7baa8e0946fa3921311714a630ed8b90a1928fab0dbe30d918909317",
        ),
        ModelFile(
            "light_asd_talkset.model",
            f"{_RAW}/Junhua-Liao/Light-ASD/HEAD/weight/finetuning_TalkSet.model",
            "MIT",
            "Light-ASD's speaking score, fine-tuned on TalkSet",
            "lipsync for the choice of who speaks, which is part of yld",
            4_175_289,
            "efc375833887eefa9d209dc92810e18519b04c3c73ea35a549f2a7f40b7d94d5",
        ),
        ModelFile(
            "lr_asd_talkset.model",
            f"{_RAW}/Junhua-Liao/LR-ASD/HEAD/weight/finetuning_TalkSet.model",
            "MIT",
            "LR-ASD's speaking score, fine-tuned on TalkSet",
            "lipsync for the choice of who speaks, which is part of yld",
            3_426_337,
            "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
        ),
        ModelFile(
            "vid2speech_s2.hdf5",
            f"{_RAW}/arielephrat/vid2speech/2e4c05723187bdd497af15e513cafda8440a65e1"
            "/pretrained_weights/s2.hdf5",
            "none stated (the repository has no licence file)",
            "Vid2Speech as its authors trained it on GRID's speaker 2",
            "yld train vid2speech, and the other models that make speech",
            # float32 of all but the norms of its convolutions, whose sizes the file tells.
            min_size=4 * 1_916_178,
        ),
        ModelFile(
            "s3fd-619a316812.pth",
            f"{_FAN}/s3fd-619a316812.pth",
            "code BSD-3-Clause (face-alignment); none stated for the weights",
            "the detector s3fd",
            _DETECTION,
            89_843_225,
            "619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        ),
        ModelFile(
            "2DFAN4-11f355bf06.pth.tar",
            f"{_FAN}/2DFAN4-11f355bf06.pth.tar",
            "code BSD-3-Clause (face-alignment); none stated for the weights, trained on 300-W-LP",
            "the landmarks fan_2d",
            _POINTS,
            sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
            # float32 of 23 820 176 parameters.
            min_size=4 * 23_820_176,
        ),
        ModelFile(
            "retinaface_mobilenet0.25_Final.pth",
            f"{_FACEXLIB}/detection_mobilenet0.25_Final.pth",
            "code MIT (facexlib); none stated for the weights, trained on WIDER FACE",
            "the detector retinaface_mobilenet",
            _DETECTION,
            1_789_735,
            "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        ),
        ModelFile(
            "detection_Resnet50_Final.pth",
            f"{_FACEXLIB}/detection_Resnet50_Final.pth",
            "code MIT (facexlib); none stated for the weights, trained on WIDER FACE",
            "the detector retinaface_resnet50",
            _DETECTION,
            109_497_761,
            "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        ),
        ModelFile(
            "scrfd_2.5g_kps.onnx",
            f"{_RAW}/hpc203/scrfd-opencv/HEAD/weights/scrfd_2.5g_kps.onnx",
            _SCRFD,
            "the detector scrfd",
            _DETECTION,
            3_291_017,
            "32d20c77b9e2dc1d07e94c2ab9d25bdd5cd05eddbe0b46e7b38e7a1eca22e99a",
            non_commercial=True,
        ),
        ModelFile(
            "scrfd_500m_kps.onnx",
            f"{_RAW}/hpc203/scrfd-opencv/HEAD/weights/scrfd_500m_kps.onnx",
            _SCRFD,
            "the detector scrfd_500m",
            _DETECTION,
            2_524_095,
            "517cb1980c72422e676738fc45431700fb7cbee56d0f825b623ee427b3e5ce58",
            non_commercial=True,
        ),
        ModelFile(
            "blaze_face_short_range.tflite",
            f"{_TASKS}/face_detector/blaze_face_short_range/float16/1/blaze_face_short_range.tflite",
            "Apache-2.0",
            "the detector mediapipe",
            _DETECTION,
            229_746,
            "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        ),
        ModelFile(
            "face_landmarker_v2_with_blendshapes.task",
            f"{_TASKS}/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
            "Apache-2.0",
            "the landmarks mediapipe",
            _POINTS,
            3_758_596,
            "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        ),
        ModelFile(
            "face_detection_yunet_2026may.onnx",
            f"{_RAW}/RuDr8A/RealTime-PPE-Compliance/HEAD/face_detection_yunet_2026may.onnx",
            "MIT, as OpenCV publishes YuNet; none stated at this address",
            "the scout of dlib_hog and the detector yunet; part of yld",
            "faces.scout=none and the other detectors",
            229_738,
            "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        ),
        ModelFile(
            "w600k_r50.onnx",
            "https://github.com/deepinsight/insightface/releases/download/v0.7/buffalo_l.zip",
            "non-commercial research only (InsightFace)",
            "the embedding arcface_insightface",
            _IDENTITY,
            174_383_860,
            "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
            non_commercial=True,
            archive=Archive(
                "w600k_r50.onnx",
                288_621_354,
                "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
            ),
        ),
        ModelFile(
            "recognition_arcface_ir_se50.pth",
            f"{_FACEXLIB}/recognition_arcface_ir_se50.pth",
            "code MIT (facexlib, InsightFace_Pytorch); none stated for the weights, trained on "
            "MS-Celeb-1M",
            "the embedding arcface_facexlib",
            _IDENTITY,
            175_367_323,
            "a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        ),
        ModelFile(
            "grid.dat",
            # Its authors' place in Git LFS, whose quota they say is used up; they moved the file
            # to a drive without stable addresses. A copy put into the cache is known by its hash.
            "https://media.githubusercontent.com/media/DinoMan/speech-driven-animation/HEAD/"
            "sda/data/grid.dat",
            "none stated",
            "the waveform GAN's perceptual loss (yld train waveform_gan, speech.source=published)",
            "speech.source=own: the same network, trained on the corpus itself",
            221_179_358,
            "cfd703ecb1bbbb2a81ea62a0df948627a6e4e6481e9c444fccb4a41701867ca7",
        ),
        ModelFile(
            "20180408-102900-casia-webface.pt",
            f"{_FACENET}/20180408-102900-casia-webface.pt",
            "code MIT (facenet-pytorch); none stated for the weights, trained on CASIA-WebFace, "
            "whose terms are non-commercial research",
            "Lip2Speech's face encoder (yld train lip2speech, speaker_identity)",
            _FROM_SCRATCH,
            # float32 of 23 482 624 parameters and a classifier of 10 575 people.
            min_size=4 * (23_482_624 + 513 * 10_575),
            non_commercial=True,
        ),
        ModelFile(
            "20180402-114759-vggface2.pt",
            f"{_FACENET}/20180402-114759-vggface2.pt",
            "code MIT (facenet-pytorch); none stated for the weights, trained on VGGFace2",
            "Lip2Speech's face encoder, identity.start.pretrained=20180402-114759-vggface2.pt",
            _FROM_SCRATCH,
            111_898_327,
            "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
        ),
        ModelFile(
            "dnsmos_sig_bak_ovr.onnx",
            f"{_DNSMOS}/sig_bak_ovr.onnx",
            _DNS_LICENCE,
            "DNSMOS P.835 of clips (opinions.models)",
            _SCORES,
            1_157_965,
            "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        ),
        ModelFile(
            "dnsmos_p808.onnx",
            f"{_DNSMOS}/model_v8.onnx",
            _DNS_LICENCE,
            "DNSMOS P.808 of clips (opinions.models)",
            _SCORES,
            224_860,
            "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
        ),
        ModelFile(
            "utmos22_strong_step7459_v1.pt",
            "https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/"
            "utmos22_strong_step7459_v1.pt",
            "MIT (sarulab-speech/UTMOS22)",
            "UTMOS of clips (opinions.models)",
            _SCORES,
            411_179_119,
            "38aa51ab79e2a4e09a1449758a4b37e9cbb2e8235a49662a732d33a9ba1e9bff",
        ),
        ModelFile(
            "mobilefacenet_foamliu.onnx",
            f"{_RAW}/foamliu/MobileFaceNet/HEAD/weights/MobileFaceNet.onnx",
            "Apache-2.0",
            "the embedding mobilefacenet",
            _IDENTITY,
            3_998_070,
            "b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
        ),
    )
}
