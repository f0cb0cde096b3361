"""A successor knows which owners of leases are dead."""

import subprocess
import sys

from lightrag.indexing.owner import is_dead, owner_name


def test_a_living_process_is_not_dead() -> None:
    assert not is_dead(owner_name())


def test_a_process_that_has_ended_is_dead() -> None:
    script = "from lightrag.indexing.owner import owner_name; print(owner_name())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert is_dead(done.stdout.strip())


def test_nothing_is_said_of_other_machines() -> None:
    name = owner_name()
    assert not is_dead("elsewhere/boot/1:999999:abcd")
    assert not is_dead(name.replace(":", "x:", 1))
    assert not is_dead("someone")
