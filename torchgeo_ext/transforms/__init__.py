"""Transforms of TorchGeo samples: modules that know bands, dates and invalid pixels."""

__all__: tuple[str, ...] = ()
