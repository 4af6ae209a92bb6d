"""The exceptions of the library.

::

    ProdgenError                       anything this library refuses
    ├── InputError (ValueError)        what was passed in cannot be used as it is
    │   ├── EventsError                a behaviour log
    │   ├── CatalogError               an item table or its photos
    │   ├── UnknownIdError             an id that nobody has seen
    │   └── ConfigError                a setting
    ├── NotFittedError                 the model has not been fitted yet
    ├── BundleError                    a saved bundle cannot be used
    │   ├── BundleCorruptError         a part is missing or its hash is wrong
    │   └── BundleVersionError         written by a newer version
    ├── DeliveryError                  a place of nightly runs cannot be used as it is
    │   ├── DeliveryCorruptError       something in it is missing or damaged
    │   ├── DeliveryVersionError       written by a newer version
    │   ├── DeliveryReplacedError      what was being read is gone; what is published is whole
    │   ├── LockHeldError              another process writes there
    │   ├── RunConflictError           a run of this name exists and is another one
    │   ├── NothingToPublishError      a run holds no rows
    │   └── QualityGateError           a run was made, was found too bad, and was not published
    ├── TrainingDivergedError          the loss became NaN; the last good state is kept
    └── MissingExtraError (ImportError)  an optional dependency is not installed

Every message says what came, what was expected and what to do.
"""


class ProdgenError(Exception):
    """Base of every error that this library raises on purpose."""


class InputError(ProdgenError, ValueError):
    """What was passed in cannot be used as it is."""


class EventsError(InputError):
    """A behaviour log cannot be used."""


class CatalogError(InputError):
    """An item table or its photos cannot be used."""


class UnknownIdError(InputError):
    """A user or item id that the data in hand does not hold."""


class ConfigError(InputError):
    """A setting is unknown or out of range."""


class NotFittedError(ProdgenError):
    """The model has not been fitted yet."""


class BundleError(ProdgenError):
    """A saved bundle cannot be used."""


class BundleCorruptError(BundleError):
    """A part of a bundle is missing, or its content does not match its recorded hash."""


class BundleVersionError(BundleError):
    """A bundle was written by a newer version of the library."""


class DeliveryError(ProdgenError):
    """A place of nightly runs cannot be used as it is."""


class DeliveryCorruptError(DeliveryError):
    """Something in a place of nightly runs is missing or does not match its recorded hash."""


class DeliveryVersionError(DeliveryError):
    """A newer version of the library wrote it."""


class DeliveryReplacedError(DeliveryError):
    """What was being read was removed meanwhile; what is published now is whole."""


class LockHeldError(DeliveryError):
    """Another process writes to the same place."""


class RunConflictError(DeliveryError):
    """A run of this name exists and was made from something else, or was withdrawn."""


class NothingToPublishError(DeliveryError):
    """A run holds no rows."""


class QualityGateError(DeliveryError):
    """A run was made and not published: its quality is not what it should be."""


class TrainingDivergedError(ProdgenError):
    """The training loss became NaN or infinite; the last good state was kept."""


class MissingExtraError(ProdgenError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is needed for this and is not installed; "
            f"install it with: pip install 'prodgen-rec[{extra}]'"
        )
