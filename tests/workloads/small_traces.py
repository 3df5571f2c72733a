"""Small files of every format, written by hand from the publishers' schemas."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

OPENB = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
a,4000,1024,1,500,,LS,Running,0,60,1
b,8000,2048,2,1000,T4|G2,BE,Failed,5,35,6
c,1000,512,0,0,,LS,Succeeded,5,7,
"""

OPENB_NODES = """\
sn,cpu_milli,memory_mib,gpu,model
n-0,32000,65536,0,
n-1,96000,393216,8,G2
"""

DLRM = """\
instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,rdma_limit,\
memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,creation_time,scheduled_time,deletion_time
instance_0,HN,app_0,12,12,1,1,25,25,120.0,120.0,640.0,800.0,8,,,
instance_1,CN,app_0,64,64,0,0,1,1,937.5,937.5,255.0,300.0,-1,100.0,101.0,4031.0000000000005
"""

HUAWEI = """\
vmid,cpu,memory,time,type
7,1,2,10,0
8,4,8,20,0
7,1,2,70,1
"""

SWF = """\
; Version: 2.2
; MaxNodes: 4
; MaxProcs: 16
; UnixStartTime: 0
1 0 5 100 6 -1 1024 6 200 2048 1 3 2 1 1 1 -1 -1
2 30 0 50 1 -1 -1 1 60 -1 1 4 -1 1 1 1 -1 -1
3 40 0 -1 2 -1 -1 2 60 -1 5 4 2 1 1 1 -1 -1
"""

GOOGLE = [
    {"time": "1000000", "type": 0, "collection_id": "11", "instance_index": "0", "priority": 103,
     "resource_request": {"cpus": 0.5, "memory": 0.25}, "alloc_collection_id": "0"},
    {"time": "2000000", "type": "SCHEDULE", "collection_id": "11", "instance_index": "0", "priority": 103,
     "resource_request": {"cpus": 0.5, "memory": 0.25}},
    {"time": "1500000", "type": 0, "collection_id": "11", "instance_index": "1", "priority": 103,
     "resource_request": {"cpus": 0.25, "memory": 0.125}},
    {"time": "5000000", "type": 4, "collection_id": "11", "instance_index": "0"},
    {"time": "6000000", "type": 3, "collection_id": "11", "instance_index": "0"},
    {"time": "9000000", "type": 6, "collection_id": "11", "instance_index": "0"},
    {"time": "1000000", "type": 0, "collection_id": "12", "instance_index": "0", "alloc_collection_id": "99",
     "resource_request": {"cpus": 0.1, "memory": 0.1}},
]  # fmt: skip

GOOGLE_CSV = """\
time,type,collection_id,instance_index,resource_request.cpus,resource_request.memory,constraint
1000000,0,11,0,0.5,0.25,
2000000,3,11,0,0.5,0.25,
9000000,6,11,0,0.5,0.25,"[{""name"": ""a"", ""value"": ""b""}]"
"""

GOOGLE_MACHINES = """\
time,machine_id,type,switch_id,capacity.cpus,capacity.memory,platform_id
0,1,1,s1,1.0,0.5,p
0,2,ADD,s2,0.5,0.25,p
9,1,2,s1,,,p
"""

PHILLY = [
    {
        "status": "Pass",
        "vc": "ee9e8c",
        "jobid": "application_1_1",
        "attempts": [
            {"start_time": "2017-10-07 01:12:00", "end_time": "2017-10-07 01:13:00",
             "detail": [{"ip": "m1", "gpus": ["gpu0"]}]},
            {"start_time": "2017-10-07 01:14:00", "end_time": "2017-10-07 01:16:00",
             "detail": [{"ip": "m1", "gpus": ["gpu0", "gpu1"]}, {"ip": "m2", "gpus": ["gpu3"]}]},
        ],
        "submitted_time": "2017-10-07 01:11:00",
        "user": "ce2f4c",
    },
    {
        "status": "Pass",
        "vc": "ee9e8c",
        "jobid": "application_1_2",
        "attempts": [{"start_time": "2017-10-07 01:12:30", "end_time": None,
                      "detail": [{"ip": "m1", "gpus": ["gpu0"]}]}],
        "submitted_time": "2017-10-07 01:12:00",
        "user": "u",
    },
]  # fmt: skip

PHILLY_MACHINES = "machineId,number of GPUs,single GPU mem\nm31,8, 24GB\nm2,2, 12GB\n"


def openb(path: Path) -> Path:
    return _text(path / "openb.csv", OPENB)


def openb_nodes(path: Path) -> Path:
    return _text(path / "openb_nodes.csv", OPENB_NODES)


def dlrm(path: Path) -> Path:
    return _text(path / "dlrm.csv", DLRM)


def huawei(path: Path) -> Path:
    return _text(path / "Huawei-East-1.csv", HUAWEI)


def swf(path: Path) -> Path:
    return _text(path / "log.swf", SWF)


def google(path: Path) -> Path:
    return _text(path / "instance_events.json", "\n".join(map(json.dumps, GOOGLE)) + "\n")


def google_csv(path: Path) -> Path:
    return _text(path / "instance_events.csv", GOOGLE_CSV)


def philly(path: Path) -> Path:
    return _text(path / "cluster_job_log", json.dumps(PHILLY, indent=1))


def azure(path: Path) -> Path:
    file = path / "packing.sqlite"
    db = sqlite3.connect(file)
    db.execute(
        "CREATE TABLE vm (vmId INTEGER, tenantId INTEGER, vmTypeId INTEGER, priority, starttime REAL, endtime REAL)"
    )
    db.execute(
        "CREATE TABLE vmType (id INTEGER, vmTypeId INTEGER, machineId INTEGER, core REAL, memory REAL, hdd REAL, "
        "ssd REAL, nic REAL)"
    )
    db.executemany(
        "INSERT INTO vm VALUES (?, ?, ?, ?, ?, ?)",
        [(1, 5, 100, 0, -0.5, 0.25), (2, 5, 100, 1, 0.5, 2.5), (3, 6, 101, 0, 1.0, None), (4, 6, 102, 0, 1.0, 2.0)],
    )
    db.executemany(
        "INSERT INTO vmType VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (1, 100, 16, 0.5, 0.25, None, 0.125, 0.1),
            (2, 101, 16, 0.0625, 0.03125, 0.0, 0.0, 0.05),
            (3, 102, 17, 0.25, 0.25, 0.0, 0.0, 0.1),
        ],
    )
    db.commit()
    db.close()
    return file


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "openb": openb,
    "dlrm2025": dlrm,
    "huawei-east-1": huawei,
    "swf": swf,
    "google2019": google,
    "philly": philly,
    "azure2020": azure,
}
"""A small file of each format, by format."""
