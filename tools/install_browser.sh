#!/usr/bin/env bash
# A Chromium for the tests that look at pages: the one that is there, Playwright's own, or Debian's.
set -u
cd "$(dirname "$0")/.."
has_browser() {
    .venv/bin/python -c "import sys; from tests.pages.browser import why_none; sys.exit(bool(why_none()))"
}
has_browser && exit 0
if timeout 300 .venv/bin/python -m playwright install chromium-headless-shell >/dev/null 2>&1; then
    timeout 300 .venv/bin/python -m playwright install-deps chromium-headless-shell >/dev/null 2>&1
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    timeout 300 sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends \
        chromium-headless-shell || apt-get install -y -qq --no-install-recommends chromium" \
        >/dev/null 2>&1
fi
has_browser
