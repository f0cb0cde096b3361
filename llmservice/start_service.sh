#!/bin/sh
# Start the model service with the settings of .env in this folder; arguments are passed on.
set -eu
cd "$(dirname "$0")"
for python in "${VIRTUAL_ENV:-}/bin/python" .venv/bin/python ../.venv/bin/python; do
    [ -x "$python" ] && exec "$python" server.py "$@"
done
exec python3 server.py "$@"
