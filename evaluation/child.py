"""The process that scores: reads utterances from stdin, writes rows to the pipe given by number.

Each line is JSON. Before a metric starts its name is written, so that the parent knows which
one a crash belongs to. What libraries print goes to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
import time

from evaluation.records import Utterance
from evaluation.scoring import Loaded, score_one

WATCH_S = 0.5


def _leave_with_parent() -> None:
    """The parent's end closes stdin, which is not read while a metric is computed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve until stdin closes or the parent ends."""
    _leave_with_parent()
    with os.fdopen(int(sys.argv[1]), "w", buffering=1) as out:
        for line in sys.stdin:
            task = json.loads(line)
            loaded = Loaded(Utterance(**task["utterance"]))
            for name in task["metrics"]:
                print(json.dumps({"start": name}), file=out)
                row = dataclasses.asdict(score_one(loaded, name))
                print(json.dumps({"row": row}), file=out)


if __name__ == "__main__":
    main()
