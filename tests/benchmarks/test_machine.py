from benchmarks import machine

INFO = "processor : 0\nmodel name\t: A Processor 9000\nflags\t\t: fpu avx2 avx512f fma xfma\n"


def test_a_machine_is_named_by_its_processor_and_instruction_sets(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(INFO)
    monkeypatch.setattr(machine, "_CPUINFO", info)
    record = machine.describe()
    assert record["machine_cpu"] == "A Processor 9000"
    assert record["machine_instruction_sets"] == "avx2 fma avx512f"
    cores = record["machine_cores"]
    assert machine.title(record) == f"{cores} cores, A Processor 9000, avx2 fma avx512f"


def test_every_library_that_matters_is_named():
    record = machine.describe()
    assert int(record["machine_cores"]) >= 1
    for library in ("python", "grpcio", "onnxruntime_gpu", "numpy", "protobuf", "uvloop"):
        assert str(record[f"version_{library}"])[0].isdigit()
