"""What a file has beside its content: owner, group, permissions, extended attributes, times."""

import os
import stat
from contextlib import suppress
from pathlib import Path

HARD_LINKS = "hard links"  # among what is lost
# beginnings of their names
KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access", "system.nfs4_acl", "security.selinux")
CLOCK_STEP = 2 * 10**9  # ns, the coarsest step of a file system's times


def keep(old: Path, new: Path, times: bool = False) -> list[str]:
    """Give ``new`` what ``old`` has, as far as the file system and this user's rights allow; names what they do not.

    Args:
        times: the times too, as a file is replaced; other names of it keep the old one.
    """
    try:
        before = os.lstat(old)
    except OSError:
        return []
    if not stat.S_ISREG(before.st_mode):
        return []
    owners = _owners_lost(before, new)
    lost = dict.fromkeys(owners, True)
    lost["permissions"] = not _keep_permissions(before, new, all_of_them=not owners)
    lost["extended attributes"] = not _keep_extended(old, new)
    lost[HARD_LINKS] = times and before.st_nlink > 1
    lost["modification time"] = times and not _keep_times(before, new)
    return [name for name, is_lost in lost.items() if is_lost]


def _owners_lost(before: os.stat_result, new: Path) -> list[str]:
    def lost() -> list[str]:
        now = os.lstat(new)
        same = {"owner": now.st_uid == before.st_uid, "group": now.st_gid == before.st_gid}
        return [name for name, is_same in same.items() if not is_same]

    if os.name != "posix" or not lost():
        return []
    for owner in (before.st_uid, -1):  # the group alone, if not both
        with suppress(OSError):
            os.chown(new, owner, before.st_gid)
            break
    return lost()


def _keep_permissions(before: os.stat_result, new: Path, all_of_them: bool) -> bool:
    wanted = stat.S_IMODE(before.st_mode) & (0o7777 if all_of_them else 0o777)  # no rights of another's owner
    if os.name != "posix":
        return True
    if stat.S_IMODE(os.lstat(new).st_mode) != wanted:
        with suppress(OSError):
            os.chmod(new, wanted)
    return stat.S_IMODE(os.lstat(new).st_mode) == wanted


def _keep_extended(old: Path, new: Path) -> bool:
    if not hasattr(os, "listxattr"):
        return True
    whole = True
    try:
        names = [name for name in os.listxattr(old) if name.startswith(KEPT_ATTRIBUTES)]
    except OSError:  # there are none here
        return True
    for name in names:
        try:
            value = os.getxattr(old, name)
            with suppress(OSError):
                if os.getxattr(new, name) == value:
                    continue
            os.setxattr(new, name, value)
        except OSError:
            whole = False
    return whole


def _keep_times(before: os.stat_result, new: Path) -> bool:
    with suppress(OSError):
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    return abs(os.lstat(new).st_mtime_ns - before.st_mtime_ns) <= CLOCK_STEP
