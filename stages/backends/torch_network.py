"""A torch network that a backend loads when it is first needed."""

from __future__ import annotations

from typing import Any

from stages.backends.devices import load_state, torch_device
from stages.backends.weights import weights


class TorchNetwork:
    """What torch backends share: `_network`, ready to run on `device` once `setup` has run."""

    weights_name = ""

    def __init__(self, device: str = "cpu") -> None:
        self.device_name = device
        self._network: Any = None

    def setup(self) -> None:
        """Load the network. Raises SetupError (library, weights or GPU wanting)."""
        if self._network is None:
            device = torch_device(self.device_name)
            self._network = load_state(self.build(), weights(self.weights_name), device)
            self.device = device

    def build(self) -> Any:
        """The untrained network, from the library that publishes it. Raises SetupError."""
        raise NotImplementedError
