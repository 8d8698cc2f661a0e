"""Hard links that belong to no known segment: taken up again, or set aside.

The journal was moved away or could not be written, or a source has another name. Such a link may be
the last copy of bytes that no sink has.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tracesidecar.model import Checkpoint
from tracesidecar.tail.discovery.source_globs import SourceGlobs
from tracesidecar.tail.discovery.tree import Tree
from tracesidecar.tail.file_table import Directory, File, FileTable
from tracesidecar.tail.holding.hard_links import HardLinks
from tracesidecar.tail.holding.link_names import CUT, LinkName
from tracesidecar.tail.options import SourceOptions
from tracesidecar.tail.reading.compressed import ArchiveError
from tracesidecar.tail.scan_context import ScanContext
from tracesidecar.tail.segments import SegmentRecord, SegmentState
from tracesidecar.tail.tracking.candidates import CandidateOpener
from tracesidecar.tail.tracking.file_records import revive_file
from tracesidecar.tail.tracking.lifecycle import Lifecycle
from tracesidecar.tail.tracking.segment_log import SegmentLog


class Adoption:
    """Finds, after a start, what each link is that no loaded segment accounts for."""

    def __init__(
        self,
        *,
        tree: Tree,
        sources: Sequence[SourceOptions],
        globs: SourceGlobs,
        files: FileTable,
        hard_links: HardLinks,
        opener: CandidateOpener,
        lifecycle: Lifecycle,
        log: SegmentLog,
        scan: ScanContext,
        directory: Callable[[str], Directory],
    ) -> None:
        self._tree = tree
        self._sources = sources
        self._globs = globs
        self._files = files
        self._hard_links = hard_links
        self._opener = opener
        self._lifecycle = lifecycle
        self._log = log
        self._scan = scan
        self._directory = directory

    def adopt(
        self, unloaded: Mapping[int, SegmentRecord], frontier: Mapping[int, Checkpoint]
    ) -> None:
        """Take up every link that is not a loaded segment's.

        `unloaded` are the journal's records of sources that the configuration does not have.
        """
        adopted, continued, set_aside = Counter[str](), Counter[str](), Counter[str]()
        recovered = Counter[str]()
        # links of known files first: one that leads to another file makes way for that of its own
        links = sorted(self._hard_links.segments(), key=lambda link: link not in self._files)
        for linked in links:
            status = self._hard_links.status(linked)
            if self._recover(linked):
                recovered[os.path.dirname(self._hard_links.path(linked) or "")] += 1
            segment = None if status is None else self._account_for(linked, status)
            if segment is None or status is None:
                continue
            folder, name = os.path.split(self._hard_links.path(segment) or "")
            link = LinkName.parse(name)
            source = None if link is None else self._choose_source(link, folder)
            if link is None or source is None or not stat.S_ISREG(status.st_mode):
                set_aside[self._hard_links.set_aside(segment) or folder] += 1
            elif segment in unloaded and self._is_at(unloaded[segment].path, status):
                self._hard_links.remove(segment)  # its source starts over, and finds it there
            elif segment in unloaded:
                self._continue(unloaded[segment], source, status, frontier.get(segment))
                continued[folder] += 1
            elif link.path and self._is_at(link.path, status):
                # It was linked before it was decided about. The scan finds it, and sees whether it
                # is a copy of another: only what has no name any more is taken unseen.
                self._hard_links.remove(segment)
            elif self._take_up(link, source, status):
                adopted[folder] += 1
        self._announce(adopted, continued, set_aside)
        for folder, count in recovered.items():
            self._scan.announce(
                "adopted",
                folder,
                f"{_files(count)} here, kept until delivered, that could not be found before: what "
                "was recorded as lost of them is delivered",
            )

    def _recover(self, segment: int) -> bool:
        """Go on with a segment that counted as lost or away while nobody could see its link."""
        file = self._files.get(segment)
        return file is not None and self._lifecycle.recover(file)

    def _account_for(self, segment: int, status: os.stat_result) -> int | None:
        """Return the segment of a link that is to be adopted; None if a known file has the link."""
        file = self._files.get(segment)
        if file is not None and file.inode == status.st_ino:
            file.renumber(status.st_dev)  # a reboot may have changed it, and a link is proof enough
            return None
        same = self._files.find(status.st_dev, status.st_ino)
        if same is not None and same.state in (SegmentState.ENDED, SegmentState.LOST):
            same = None  # something else stands in its file now
        if same is not None and self._hard_links.path(same.id) is None:
            self._relabel(segment, same.id, same)
            return None
        if same is not None:
            if self._leads_to(same.id, status):
                self._hard_links.remove(segment)  # a second link of the same file
            return None
        if file is None:
            return segment
        # The segment goes on in this file, but a crash came before that was recorded.
        if status.st_nlink > 1:
            self._hard_links.remove(segment)  # it is found under its name
            return None
        fresh = self._log.new_id()
        self._relabel(segment, fresh, file)
        return fresh

    def _leads_to(self, segment: int, status: os.stat_result) -> bool:
        linked = self._hard_links.status(segment)
        return linked is not None and os.path.samestat(linked, status)

    def _relabel(self, segment: int, other: int, file: File) -> None:
        name = LinkName(other, self._files.options(file).name, file.path)
        self._hard_links.relabel(segment, name)

    def _choose_source(self, link: LinkName, folder: str) -> int | None:
        """Return the source that a link belongs to, None if there is none.

        An agent may be able to write in a `hold_directory`: a link there can only be of a source
        that has it.
        """
        is_ours = folder == self._hard_links.folders[0]
        allowed = [
            number
            for number, source in enumerate(self._sources)
            if is_ours or self._hard_links.folder_of(source) == folder
        ]
        named = [number for number in allowed if self._sources[number].name == link.source]
        wanted = self._globs.source_of(link.path) if link.path else None
        below = [number for number in allowed if self._globs.is_below(number, link.path)]
        return next(iter([*named, *([wanted] if wanted in allowed else []), *below]), None)

    def _take_up(self, link: LinkName, source: int, status: os.stat_result) -> bool:
        """Begin to read a linked file as a segment of which nothing else is known.

        Return False if there is nothing in it, or if it cannot be opened: then it is new until it
        can, as a file that has its name.
        """
        if not status.st_size:
            self._hard_links.remove(link.segment)
            return False
        path = link.path
        if not os.path.isabs(path) or not self._globs.is_below(source, path):
            tail = path.removeprefix(f"{CUT}/") or f"segment-{link.segment}"
            path = os.path.join(self._globs.first_root_of(source), CUT, tail.lstrip("/"))
        directory = self._directory(os.path.dirname(path))
        name = os.path.basename(path)
        file = File(link.segment, source, directory, name, status.st_dev, status.st_ino, 0)
        with suppress(ArchiveError):  # reading it will report what is wrong
            if self._opener.open(file) is None:
                self._wait_for_content(file)
                return False
        self._files.add(file)
        self._lifecycle.take(file)
        self._scan.recovered.append(file.id)  # it may have been lost while its link was not visible
        return True

    def _wait_for_content(self, file: File) -> None:
        self._files.add(file)
        self._lifecycle.stay_nameless(file)
        self._scan.recovered.append(file.id)  # it is not lost while its link is there

    def _continue(
        self,
        record: SegmentRecord,
        source: int,
        status: os.stat_result,
        reach: Checkpoint | None,
    ) -> None:
        """Go on with a segment of a source that has another name now, from where each sink was."""
        directory = self._directory(os.path.dirname(record.path))
        file = revive_file(record, source, directory, reach)
        if file.inode == status.st_ino:
            file.renumber(status.st_dev)
        self._files.add(file)
        self._log.save(file)

    def _is_at(self, path: str, linked: os.stat_result) -> bool:
        try:
            status = self._tree.stat(path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (linked.st_dev, linked.st_ino)

    def _announce(
        self, adopted: Counter[str], continued: Counter[str], set_aside: Counter[str]
    ) -> None:
        for folder, count in adopted.items():
            self._scan.announce(
                "adopted",
                folder,
                f"{_files(count)} here, kept until delivered, not in the journal: what has arrived "
                "of them is not known, so they are delivered from their beginning, and lines may "
                "arrive twice",
            )
        for folder, count in continued.items():
            self._scan.announce(
                "adopted",
                folder,
                f"{_files(count)} here, kept until delivered, of a source that is no longer in the "
                "configuration: another source has their path, and goes on where each sink was",
            )
        for folder, count in set_aside.items():
            self._scan.announce(
                "set_aside",
                folder,
                f"{_files(count)} here that were kept until delivered, and that no source of the "
                "configuration accounts for. To deliver them, configure their source again and "
                "restart, or move them into a watched directory; to free the space, delete them",
            )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
