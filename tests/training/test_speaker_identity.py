"""The speaker identity module: its counts, what it hears, what brings faces and voices together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.metrics import voice
from manifests.clock import SAMPLE_RATE
from pipeline.config.settings import to_mapping
from tests.training.mouths import speaking
from training.data.voice_mel import mel_of_speech, voice_mel
from training.harness.data import DataConfig
from training.harness.recipe import Recipe
from training.harness.run import Request, train
from training.layers.inception_resnet import InceptionResnet
from training.layers.voice_encoder import VoiceEncoder, published, unit_voice
from training.models.catalogue import KINDS
from training.models.speaker_identity import network as networks
from training.models.speaker_identity.config import FaceStart, IdentityConfig, IdentityView
from training.models.speaker_identity.face_decoder import Dcgan, Published
from training.models.speaker_identity.network import SpeakerIdentity
from training.models.speaker_identity.objective import Contrast
from training.models.speaker_identity.shape import IdentityShape
from training.models.speaker_identity.system import begin, begun_with

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = IdentityShape(0.0625, 75)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# -- networks ----------------------------------------------------------------------------------


def test_parameters_of_the_papers_networks():
    with torch.device("meta"):
        whole = SpeakerIdentity(IdentityShape())
        assert count(whole.backbone) == 23_482_624
        assert count(whole.projection) == 393_984
        assert count(VoiceEncoder()) == 1_423_616


def test_an_embedding_is_not_negative_and_of_length_one_at_any_width():
    torch.manual_seed(0)
    network = SpeakerIdentity(SMALL).eval()
    made = network.embed(torch.randint(0, 255, (3, 75, 75, 3), dtype=torch.uint8))
    assert made.shape == (3, 256) and made.min() >= 0
    np.testing.assert_allclose(made.detach().square().sum(1), 1, rtol=1e-5)


def test_stages_are_frozen_with_their_statistics():
    network = SpeakerIdentity(SMALL)
    network.freeze("three_blocks")
    network.train()
    stages = network.backbone.stages()
    for name in ("stem", "block_35", "block_17"):
        assert not any(part.training for part in stages[name])
    assert all(part.training for name in ("block_8", "head") for part in stages[name])
    network(torch.randint(0, 255, (2, 75, 75, 3), dtype=torch.uint8)).sum().backward()
    told = {name: p.grad is not None for name, p in network.backbone.named_parameters()}
    assert not told["repeat_2.9.conv2d.weight"] and not told["conv2d_1a.conv.weight"]
    assert told["repeat_3.0.conv2d.weight"] and told["last_linear.weight"]


@pytest.mark.parametrize(("kind", "size"), [(Dcgan, 64), (Published, 160)])
def test_faces_are_drawn_of_embeddings(kind, size):
    decoder = kind(SMALL)
    assert decoder(torch.rand(2, 256)).shape == (2, 3, size, size) == (2, 3, *[decoder.size_px] * 2)


# -- weights -----------------------------------------------------------------------------------


def written(path: Path, backbone: InceptionResnet) -> Path:
    """As facenet-pytorch's files are, with their classifier."""
    state = {**backbone.state_dict(), "logits.weight": torch.zeros(3, 2)}
    torch.save(state, path)
    return path


def test_weights_are_read_and_frozen_or_all_is_trained_from_scratch(tmp_path, monkeypatch):
    name, shape = "20180402-114759-vggface2.pt", SMALL
    torch.manual_seed(1)
    kept = InceptionResnet(shape.width)
    file = written(tmp_path / name, kept)
    monkeypatch.setattr(networks, "fetch", lambda _: file)
    start = FaceStart(name)
    facts = begun_with(shape, start)
    assert facts == {"face_weights": name}
    network = SpeakerIdentity(shape)
    begin(network, start, facts)
    assert torch.equal(network.backbone.last_linear.weight, kept.last_linear.weight)
    assert not network.backbone.conv2d_1a.conv.weight.requires_grad

    with pytest.raises(ValueError, match="does not fit"):
        begun_with(IdentityShape(0.125, 75), start)
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="not read as tensors"):
        begun_with(shape, start)
    monkeypatch.undo()
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("YLD_NON_COMMERCIAL", raising=False)
    start = FaceStart("20180408-102900-casia-webface.pt")  # not downloaded without a word
    facts = begun_with(shape, start)
    assert facts["face_weights"] is None and "cannot be had" in facts["face_weights_reason"]
    network = SpeakerIdentity(shape)
    begin(network, start, facts)
    assert all(p.requires_grad for p in network.parameters())
    with pytest.raises(ValueError, match="no registered weights x"):
        begun_with(shape, FaceStart("x"))


# -- what is heard -----------------------------------------------------------------------------


def hum(seconds: float = 1.6) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 25))
    return (0.1 * tone * (0.6 + 0.4 * np.sin(11 * time))).astype(np.float32)


def test_a_voice_is_that_of_the_score():
    """GE2E by its own package: of one window of 1.6 s, once as it cuts and scales speech."""
    speech = voice.speech_of(hum())[:25_600]
    wanted = voice._encoder().embed_utterance(speech)
    mel = voice_mel(speech)[:160]
    from resemblyzer.audio import wav_to_mel_spectrogram

    np.testing.assert_allclose(mel, wav_to_mel_spectrogram(speech)[:160], rtol=1e-3, atol=1e-9)
    encoder = published(torch.device("cpu"))
    padded = np.pad(mel, ((0, 40), (0, 0)))  # what stands behind the end is not heard
    both = torch.from_numpy(np.stack([padded, padded]))
    found = unit_voice(encoder(both, torch.tensor([160, 100])))
    np.testing.assert_allclose(found[0], wanted, atol=1e-4)
    assert float(found[1] @ found[0]) < 0.9999
    assert not any(p.requires_grad for p in encoder.parameters())


def test_what_is_no_speech_is_heard_as_it_is():
    silence = np.zeros(SAMPLE_RATE, np.float32)
    assert mel_of_speech(silence).shape == (101, 40)


# -- objective ---------------------------------------------------------------------------------


def test_the_contrast_tells_voices_apart_and_is_the_same_both_ways():
    contrast, eye = Contrast(), torch.eye(4, 256)
    nobody = torch.full((4,), -1)
    with torch.no_grad():
        contrast.temperature.fill_(50.0)
        assert contrast(eye, eye, nobody) < 1e-6
        assert contrast(eye, eye.roll(1, 0), nobody) > 40
        a, b = torch.randn(2, 4, 256, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(contrast(a, b, nobody), contrast(b, a, nobody))
        # Clips of one speaker are not compared; of one speaker alone there is nothing to learn.
        assert contrast(a, b, torch.zeros(4, dtype=int)) == 0
        pair = contrast(a[[0, 2]], b[[0, 2]], nobody[:2])
        assert contrast(a[[0, 0, 2, 2]], b[[0, 0, 2, 2]], torch.tensor([0, 0, 1, 1])) > pair - 1e-3


# -- training ----------------------------------------------------------------------------------


def test_it_is_trained_judged_and_gives_the_voice_of_a_face(tmp_path):
    corpus = speaking(tmp_path / "mouths", num_clips=8)
    config = IdentityConfig(
        SMALL,
        IdentityView(min_frames=25, max_frames=30),
        FaceStart(None, "none"),
        DataConfig(held_out=0.25),
        Recipe(steps=3, batch=4, save_every_steps=3),
    )
    kind, said = KINDS["speaker_identity"], []
    request = Request(kind, "tiny", config, to_mapping(config), [str(corpus)], tmp_path / "run")
    outcome = train(request, said.append)
    assert outcome.step == 3
    assert any("began from scratch: none were asked for" in line for line in said)
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    told = [line for line in lines if line["kind"] == "train"]
    assert all({"contrast", "likeness", "drawing"} <= set(line) for line in told)
    judged = lines[-1]
    assert judged["kind"] == "judge" and {"criterion", "cosine"} <= set(judged)

    from pipeline.synthesis.models import embedder_of, speaker_of
    from training.harness.checkpoints import CheckpointError

    model, about = embedder_of(tmp_path / "run", "cpu")
    face = np.random.default_rng(0).integers(0, 255, (75, 75, 3), np.uint8)
    made = model.voice_of_face(face)
    assert made.shape == (256,) and made.dtype == np.float32 and about.step == 3
    assert np.linalg.norm(made) == pytest.approx(1, abs=1e-5)
    with pytest.raises(CheckpointError, match="makes no speech"):
        speaker_of(tmp_path / "run", "cpu")


def test_presets_say_what_they_are():
    presets = KINDS["speaker_identity"].presets
    assert presets["paper"]().shape == IdentityShape()
    assert presets["tiny"]().shape == replace(IdentityShape(), width=0.25, face_px=80)
    with pytest.raises(ValueError, match="longest window"):
        IdentityView(min_frames=60, max_frames=30)
