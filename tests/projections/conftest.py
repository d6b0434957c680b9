from tests.subscriptions.conftest import bench, storage

__all__ = ["bench", "storage"]
