"""Training on unpaired photos: one loop, two learners.

``loop`` runs a ``learner``: ``distil`` (preset derain: ``discovery`` finds rain, ``pairs`` pastes it) or ``contrast``
(preset nlcl: the paper's objective). Around it: ``config``, ``crops`` of the photos, ``folder`` (what a run leaves
behind), and ``torchrun`` (several processes).

``clock`` counts the minutes of a run: every stage has a share of them, and the loop ends in time.
"""
