"""Simulation of CloudWatch's alarms: which ring when the redriver runs, fails, is silent or finds old work.

As the CloudWatch User Guide says ("Alarm evaluation"): each minute the last EvaluationPeriods periods are looked at;
DatapointsToAlarm of them (all of them by default) must breach, and a period without data is what TreatMissingData
says. CloudWatch also looks at a few periods before these where some are missing, which can make it later, not blind.
"""
import random

DAY = 86_400
# Of a healthy redriver: EventBridge Scheduler invokes within the minute, Lambda ends a run after 55 s, and a line of
# the log is a datum within the next minute.
LATE, LONGEST, COUNTED = 59, 55, 60


def is_allowed(alarm: dict) -> bool:
    """Returns True if CloudWatch takes such periods."""
    period, periods = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    return period % 60 == 0 and period > 0 and 1 <= needed <= periods and period * periods <= DAY


def rings(alarm: dict, data: list[tuple[int, int, float]], at: int) -> bool:
    """Returns True if the alarm rings at a time, with data of (time, time from which it is seen, value)."""
    period, periods = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
    threshold = float(alarm["Threshold"])
    breach = {
        "GreaterThanOrEqualToThreshold": lambda value: value >= threshold,
        "LessThanThreshold": lambda value: value < threshold,
    }[alarm["ComparisonOperator"]]
    statistic = {"Sum": sum, "Maximum": max, "SampleCount": len}[alarm["Statistic"]]
    # By the period, the last one first, each up to its end and without that.
    seen: dict[int, list[float]] = {}
    for time, visible, value in data:
        if time < at and visible <= at and (at - time - 1) // period < periods:
            seen.setdefault((at - time - 1) // period, []).append(value)
    breaching = sum(breach(statistic(values)) for values in seen.values())
    # "missing" and "ignore" change nothing: an alarm that is still stays so.
    breaching += (periods - len(seen)) * (alarm["TreatMissingData"] == "breaching")
    return breaching >= int(alarm.get("DatapointsToAlarm") or periods)


def runs(minutes: int, count: int, pattern: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns the begin and the end of each run; `pattern` gives in turn how late and how long they are."""
    begun = [(index * minutes * 60 + pattern[index % len(pattern)][0], pattern[index % len(pattern)][1])
             for index in range(count)]
    return [(at, at + lasting) for at, lasting in begun]


def patterns() -> list[list[tuple[int, int]]]:
    early, late = (0, 0), (LATE, LONGEST)
    drawn = random.Random(11)
    return [[early], [late], [early, late], [late, early], [late, late, early],
            [(drawn.randint(0, LATE), drawn.randint(0, LONGEST)) for _ in range(7)]]


def check(stack) -> None:
    """Checks the redriver's alarms with this stack's interval and shards."""
    minutes, shards = int(stack.values["RedriveMinutes"]), int(stack.values["RedriveShards"])
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    own = {name: alarm for name, alarm in alarms.items() if name.startswith("Redrive") or name == "SpillAgeAlarm"}
    interval = minutes * 60
    count = 9 + 20 // minutes
    # A few minutes for what is late; and no more than four runs or what five minutes add to them.
    longest = max(4 * interval, 480) + LATE + LONGEST + COUNTED
    for pattern in patterns():
        made = runs(minutes, count, pattern)
        ended = lambda value, some=made: [(end, end + COUNTED, value(index)) for index, (_, end) in enumerate(some)]
        # Lambda's own metrics have the time at which the run began.
        begun = lambda value, some=made: [(at, at + COUNTED, value(index)) for index, (at, _) in enumerate(some)]
        # From when a whole window lies behind, until the run after the last is due.
        windows = max(int(alarm["Period"]) * int(alarm["EvaluationPeriods"]) for alarm in own.values())
        minute = lambda at: at - at % 60
        healthy = range(minute(min(windows, 5 * interval)) + 240, count * interval, 60)
        age = float(own["SpillAgeAlarm"]["Threshold"])

        def metric(name: str, alarm: dict, data) -> list:
            is_lambda = alarm["Namespace"] == "AWS/Lambda"
            return (begun if is_lambda else ended)(data)

        for name, alarm in own.items():
            good = {"Errors": 0, "Throttles": 0, "Invocations": 1, "RedriveErrors": 0, "SpillOldestAgeSeconds": 0}
            well = metric(name, alarm, lambda _: good[alarm["MetricName"]])
            told = [at for at in healthy if rings(alarm, well, at)]
            assert not told, f"{name} rings although all is well, each {minutes} min, {pattern}: {told[:3]}"
            is_absence = alarm["ComparisonOperator"] == "LessThanThreshold"
            if is_absence:
                # Nothing comes after the last run.
                last = well[-1][0]
                late = [at for at in range(minute(last + longest), last + longest + 5 * interval, 60)
                        if not rings(alarm, well, at)]
                assert not late, f"{name} is still while nothing runs, each {minutes} min, {pattern}: {late[:3]}"
                continue
            bad = age if alarm["MetricName"] == "SpillOldestAgeSeconds" else 1
            # From the fifth run on all is bad.
            broken = metric(name, alarm, lambda index: bad if index >= 4 else good[alarm["MetricName"]])
            first = 4 * interval + longest
            still = [at for at in range(minute(first), count * interval, 60) if not rings(alarm, broken, at)]
            assert not still, f"{name} is still although each run is bad, each {minutes} min, {pattern}: {still[:3]}"
            if bad == 1 and minutes > 1:
                # Once: the next run may mend it. (Each minute, five of them make a period.)
                once = metric(name, alarm, lambda index: 1 if index == 4 else 0)
                told = [at for at in healthy if rings(alarm, once, at)]
                assert not told, f"{name} rings for one run, each {minutes} min, {pattern}: {told[:3]}"
    # One shard of several is silent: only its own data can tell.
    for index in range(shards):
        own_data = {one["Value"] for one in own[f"RedriveMissing{index}Alarm"]["Dimensions"] if one["Name"] == "Shard"}
        assert own_data == {f"{index}/{shards}"}, f"the other shards hide that {index}/{shards} is silent"
