"""Training on unpaired photos: one loop, two learners.

``loop`` runs a ``learner``: ``distil`` (preset derain: ``discovery`` finds rain, ``pairs`` pastes it) or ``contrast``
(preset nlcl: the paper's objective). Around it: ``config``, ``crops`` of the photos, ``start`` (the first network),
``checkpoint``, and ``folder`` (what a run leaves behind).

``finetune`` adapts to one camera: ``material`` (the user's photos made ready), ``judge`` with its ``guide`` (is it
better?), ``best`` (the weights so far).
"""
