"""Training on unpaired photos: one loop, two learners.

``loop`` runs a ``learner``: ``distil`` (preset derain: ``discovery`` finds rain, ``pairs`` pastes it) or ``contrast``
(preset nlcl: the paper's objective). Around it: ``config``, ``crops`` of the photos, ``start`` (the first network),
``checkpoint``, ``folder`` (what a run leaves behind), and ``torchrun`` (several processes).

``finetune`` adapts to one camera: ``material`` (the user's photos made ready), ``judge`` with its ``guide`` (is it
better?), ``best`` (the weights so far).

``clock`` counts the minutes of a run: every stage has a share of them, and ``timing`` ends the loop in time.
"""
