"""Price lists of GPU clouds become rows of machines; what is skipped is counted, what is broken is named."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from inhouse.catalog import MachineTerms, OfferFile, load_catalog, read_gpu_offers, summarize_offers, write_machine_rows
from inhouse.domain import ConfigError

DAY = date(2026, 11, 28)
CATALOG = load_catalog()
SKYPILOT_HEAD = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,Arch\n"
GPUHUNT_HEAD = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,"
    "provider_data\n"
)


def find_gpu(name: str) -> str | None:
    row = CATALOG.gpu(name)
    return None if row is None else row.gpu


def read(path: Path) -> OfferFile:
    return read_gpu_offers(path, find_gpu)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_skypilot_list_gives_on_demand_and_spot_prices_of_one_gpu(tmp_path: Path) -> None:
    path = write(
        tmp_path / "nebius" / "vms.csv",
        SKYPILOT_HEAD
        + "h100x8,H100,8,128,1600,,23.6,10,eu-north1,x86_64\n"
        + "h100x1,H100,1.0,16,200,,3.2,,us-central1,x86_64\n"
        + "cpu,,,4,16,,0.1,,eu-north1,x86_64\n"
        + "tpu,TPU-v6e,1,4,16,,1,,eu-north1,x86_64\n"
        + "slice,L4,0.5,4,16,,0.3,,eu-north1,x86_64\n"
        + "free,L4,1,4,16,,,,eu-north1,x86_64\n",
    )
    found = read(path)
    assert [(offer.terms, offer.usd_per_gpu_hour, offer.region) for offer in found.offers] == [
        (MachineTerms.ON_DEMAND, Decimal("2.95"), "eu-north1"),
        (MachineTerms.SPOT, Decimal("1.25"), "eu-north1"),
        (MachineTerms.ON_DEMAND, Decimal("3.2"), "us-central1"),
    ]
    assert {offer.provider for offer in found.offers} == {"nebius"}
    assert (found.num_rows, dict(found.skipped)) == (
        6,
        {"no GPU": 1, "GPU not in the catalog: TPU-v6e": 1, "part of a GPU": 1, "no price": 1},
    )
    assert found.malformed == ()


def test_a_folder_of_gpuhunt_lists_is_read_by_provider(tmp_path: Path) -> None:
    write(
        tmp_path / "runpod.csv",
        GPUHUNT_HEAD
        + "a100,EU,1.89,16,120,1,A100,80.0,False,,nvidia,,x86,{}\n"
        + "a100-small,EU,0.9,16,120,1,A100,40.0,False,,nvidia,,x86,{}\n"
        + 'pro,US,3.6,16,120,2,RTXPRO6000,96.0,True,100,nvidia,,x86,"{""a"": 1}"\n'
        + "old,US,0.2,16,120,1,L4,,False,,nvidia,,x86,{}\n",
    )
    write(tmp_path / "aws.csv", GPUHUNT_HEAD + "m7,us-east-1,0.2,4,16,0,,,False,,,,x86,{}\n")
    found = read(tmp_path)
    assert [(offer.provider, offer.gpu, offer.terms, offer.usd_per_gpu_hour) for offer in found.offers] == [
        ("runpod", "A100-80GB", MachineTerms.ON_DEMAND, Decimal("1.89")),
        ("runpod", "RTX-PRO-6000", MachineTerms.SPOT, Decimal("1.8")),
        ("runpod", "L4", MachineTerms.ON_DEMAND, Decimal("0.2")),
    ]
    assert dict(found.skipped) == {"no GPU": 1, "GPU not in the catalog: A100": 1}


def test_rows_that_cannot_be_read_are_named_by_line(tmp_path: Path) -> None:
    sky = write(
        tmp_path / "cloud" / "vms.csv",
        SKYPILOT_HEAD
        + "a,H100,1,16,200,,cheap,,x,x86\nb,H100,1.5,16,200,,3,,x,x86\nc,H100,1,16,200,,-3,,x,x86\nd,H100\n",
    )
    hunt = write(
        tmp_path / "cloud" / "vast.csv",
        GPUHUNT_HEAD + "a,EU,1,16,120,1,H100,80,perhaps,,,,x86,{}\nb,EU,1,16,120,many,H100,80,True,,,,x86,{}\n"
        "c,EU,,16,120,1,H100,80,True,,,,x86,{}\n",
    )  # fmt: skip
    found = read(tmp_path)
    assert found.offers == ()
    assert found.malformed == (
        f"{hunt}:2: spot is 'perhaps', not True or False",
        f"{hunt}:3: gpu_count is 'many', not a number",
        f"{sky}:2: Price is 'cheap', not a number",
        f"{sky}:3: AcceleratorCount is '1.5', not a whole number of GPUs",
        f"{sky}:4: Price is '-3', not an amount of zero or more",
        f"{sky}:5: AcceleratorCount is '', not a whole number of GPUs",
    )
    assert dict(found.skipped) == {"no price": 1}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a,b\n1,2\n", "no price list that inhouse knows"),
        (b"", "no price list that inhouse knows"),
        (b"\xff\xfe", "cannot be read"),
        (SKYPILOT_HEAD.encode() + b'"open', "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_price_list_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=problem):
        read(path)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no CSV file"):
        read(tmp_path)


def test_the_cheapest_and_the_median_are_kept_and_read_again(tmp_path: Path) -> None:
    rows = "".join(
        f"m{number},H100,2,16,200,,{price},,region-{number},x86_64\n" for number, price in enumerate((8, 6, 7, 5))
    )
    found = read(write(tmp_path / "cloud" / "vms.csv", SKYPILOT_HEAD + rows))
    machines = summarize_offers(found.offers, DAY)
    assert [(row.machine, row.usd_per_hour) for row in machines] == [
        ("h100-on-demand-cheapest", Decimal("2.5000")),
        ("h100-on-demand-median", Decimal("3.5000")),
    ]
    assert "region-3" in machines[0].description
    out = tmp_path / "gpu-prices.yaml"
    write_machine_rows(machines, out, "Prices.")
    catalog = load_catalog(extra_machines=out)
    assert catalog.own_machines == machines
    price = catalog.gpu_usd_per_hour("H100", MachineTerms.ON_DEMAND, DAY)
    assert price is not None
    assert (price.machine, price.usd_per_hour, price.effective_from) == ("h100-on-demand-cheapest", Decimal("2.5"), DAY)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        write_machine_rows([], tmp_path / "none" / "prices.yaml", "Prices.")
