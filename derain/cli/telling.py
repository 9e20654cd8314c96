"""What `derain run` tells of a batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from derain.cli.left_out import LeftOut
from derain.cli.terminal import say, say_error, tell, tell_text, with_options
from derain.errors import PhotoError

if TYPE_CHECKING:
    from derain.batch import Job, Outcome, Tally, Target
    from derain.batch.journal import Journal
    from derain.batch.reasons import Reason

THERE = "its results exist"  # why a photo is skipped
DONE_BEFORE = "an earlier run did it"


def no_tally() -> "Tally":
    from derain.batch import Tally

    return Tally()


@dataclass
class Progress:
    """How far the planning is."""

    planned: int = 0  # photos that are to be done
    total: int | None = None  # the same, once all are planned
    there: int = 0  # photos whose results exist
    kept: int = 0  # photos some of whose results exist
    kept_in_place: bool = False  # whether those are beside a photo that was replaced
    clashes: int = 0  # photos whose results would be others', too
    elsewhere: bool = False  # whether those are not beside the photos, and may be other photos'
    left_out: LeftOut = field(default_factory=LeftOut)
    without_quality: set[str] = field(default_factory=set)  # formats of which that was said


@dataclass(frozen=True)
class Telling:
    """What is told of a batch: results on stdout, as paths or as JSON, and all else on stderr."""

    json: bool
    quiet: bool
    verbose: bool
    tally: "Tally" = field(default_factory=no_tally)
    progress: Progress = field(default_factory=Progress)

    def say(self, sentence: str) -> None:
        if not self.quiet:
            say(sentence)

    def skipped(
        self, left_out: "dict[Path, Reason]", jobs: "list[Job]", todo: "set[Job]", journal: "Journal | None"
    ) -> None:
        """Files that nothing is done for, and why."""
        for path, why in left_out.items():
            self.progress.left_out.add(path, why)
        self.progress.left_out.in_place = any(job.in_place for job in jobs)
        there = [job for job in jobs if job not in todo]
        self.progress.there, self.progress.elsewhere = len(there), any(job.below is not None for job in there)
        self.say_skipped(len(jobs), journal)
        if self.json and (left_out or there):
            from derain.batch import skipped_as_json

            for path, why in left_out.items():
                tell_text(skipped_as_json(path, why))
            for job in there:
                tell_text(skipped_as_json(job.source, THERE if journal is None else DONE_BEFORE, job))

    def say_skipped(self, photos: int, journal: "Journal | None") -> None:
        known = self.progress
        for sentence in known.left_out.sentences("derain", "`derain video` is for clips"):
            self.say(sentence)
        if known.there and journal:
            done = f"{known.there} of {photos} were done by an earlier run"
            self.say(f"continuing: {done}; to start over, {journal.how_to_forget}")
        elif known.there:
            one, many = "its result exists (--overwrite replaces it)", "their results exist (--overwrite replaces them)"
            if known.elsewhere:
                one = "a result of its name exists (--overwrite replaces it, even if it is another photo's"
                many = "results of their names exist (--overwrite replaces them, even if they are other photos'"
                one, many = f"{one}; another -o keeps both)", f"{many}; another -o keeps both)"
            self.say(f"{known.there} skipped: {one if known.there == 1 else many}")

    def found(
        self, named: Sequence[str], target: "Target", recursive: bool, overwrite: bool, journal: "Journal | None"
    ) -> "Iterator[Job]":
        """Jobs as their photos are found, without those that are done; what is left out is told at the end."""
        from derain.batch import plan_as_found, skipped_as_json

        def leave(path: Path, why: "Reason") -> None:
            self.progress.left_out.add(path, why)
            if self.json:
                tell_text(skipped_as_json(path, why))

        is_done, known = done_before(journal, overwrite), self.progress
        known.left_out.in_place = target.in_place
        for job in plan_as_found(named, target, recursive, leave, self.clashed):
            if not is_done(job):
                known.planned += 1
                yield job
                continue
            known.there += 1
            known.elsewhere = job.below is not None
            if known.there == 1 and journal:
                self.say("continuing where an earlier run stopped")
            if self.json:
                tell_text(skipped_as_json(job.source, THERE if journal is None else DONE_BEFORE, job))
        known.total = known.planned
        self.say_skipped(known.planned + known.there, journal)

    def clashed(self, job: "Job", other: str) -> None:
        """A photo whose result would be another's, too."""
        from derain.batch import Outcome
        from derain.batch.clashes import why_clash

        self.progress.clashes += 1
        self.done(Outcome(job, PhotoError(why_clash(job, other))))

    def finish(self, journal: "Journal | None" = None) -> None:
        """What a run came to."""
        if self.tally.photos:
            self.say(str(self.tally))
        if kept := self.progress.kept:
            which = "a photo" if kept == 1 else f"{kept} photos"
            anew = " (--overwrite makes all anew, to fit together)"
            if self.progress.kept_in_place:  # the photo as it was is gone, and with --overwrite its rain would be, too
                anew = f", and may not fit {'it' if kept == 1 else 'them'}"
            self.say(f"results of {which} existed and were kept{anew}")
        may_succeed = self.tally.failed - self.progress.clashes  # if they are tried again
        if journal and may_succeed and self.tally.photos + self.progress.there > self.tally.failed:
            self.say("give the same command again to do only those that failed")
        elif journal:
            journal.forget()
            if folder := journal.others:
                at_work = "another command is at work there and keeps its progress in it; let that end"
                left = "has the progress of another command; give that again, or remove the folder"
                self.say(f"{folder}: {at_work if journal.others_are_at_work else left}")

    def refused(self, errors: "dict[Job, PhotoError]") -> None:
        """Photos none of which can be done."""
        for error in errors.values():
            say_error(error)
        failed = len(errors) + self.tally.failed
        self.say(f"{failed} of {failed} photos failed")
        if self.json:
            from derain.batch import Outcome, as_json

            for job, error in errors.items():
                tell_text(as_json(Outcome(job, PhotoError(with_options(str(error))))))

    def done(self, outcome: "Outcome", journal: "Journal | None" = None) -> None:
        from derain.batch import as_json

        self.tally.add(outcome)
        self.progress.kept += bool(outcome.kept)
        self.progress.kept_in_place |= bool(outcome.kept) and outcome.job.in_place
        if journal and not outcome.error and (trouble := journal.note(outcome.job)):
            self.say(f"progress cannot be recorded ({trouble}); if this run is cut off, the next one starts over")
        self.tell_of(outcome)
        error = outcome.error
        if self.json:
            tell_text(as_json(replace(outcome, error=error and PhotoError(with_options(str(error))))))
        elif not error:
            for path in outcome.written:
                tell(str(path))

    def say_note(self, source: Path, note: str) -> None:
        """What is to be known of a result; of all photos of a format together what comes of an option for them."""
        from derain.photos.writing import NO_QUALITY

        format = next((name for name, sentence in NO_QUALITY.items() if sentence == note), None)
        if format is None:
            self.say(f"{source}: {note}")
        elif format not in self.progress.without_quality:
            self.progress.without_quality.add(format)
            self.say(f"--quality: was not set where the result is a {format}, which loses nothing")

    def tell_of(self, outcome: "Outcome") -> None:
        """What became of a photo, on stderr."""
        from derain.batch import describe

        source, error = outcome.job.source, outcome.error
        if error:
            say_error(error)
        for note in outcome.notes:
            self.say_note(source, note)
        for note in outcome.said_of_kept if self.verbose else ():
            say(f"{source}: {note}")
        if not error and (self.verbose or outcome.dry and not self.quiet):
            say(f"{source}: {describe(outcome)}")


def done_before(journal: "Journal | None", overwrite: bool) -> "Callable[[Job], bool]":
    """Whether nothing is to be done for a job any more."""
    if journal:
        return journal.is_done
    if overwrite:  # where nothing can be noted, all is replaced
        return lambda job: False
    from derain.batch import is_done
    from derain.files.places import Existing

    existing = Existing()
    return lambda job: is_done(job, existing)
