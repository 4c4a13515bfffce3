"""Names that people bring from elsewhere, and what each is here; read only where one was refused.

From functools, cachetools, diskcache, cachebox, queues, and the memory managers, monitors and
cleanup settings that services have written by hand.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: here for here, words in table.items() for word in words.split()}


OF_OBJECTS = _by_word(
    {
        # Arguments. Of a|b|c it is the one that there is.
        "max_entries|max_items|maxlen|strong|max_series, a number; max_bytes bounds the bytes": (
            "maxsize max_size maximum_size capacity max_entries max_items maxlen max_len "
            "max_length max_count max_elements max_keys limit"
        ),
        'max_bytes, with its unit: "50MiB"': (
            "max_mb max_size_mb max_memory max_memory_mb maxmemory max_memory_bytes "
            "memory_limit memory_limit_mb size_limit max_size_bytes cull_limit"
        ),
        "size, a function of a value": "getsizeof sizeof size_fn size_func sizer weigher weight",
        'ttl, in seconds or as "5m"': (
            "expire expires expiry expiration expiration_time expires_in timeout ttl_seconds "
            "ttl_ms ttl_sec time_to_live max_age lifetime default_ttl default_timeout cache_ttl"
        ),
        'idle, in seconds or as "5m"': "tti time_to_idle idle_timeout max_idle sliding",
        'policy: "gdsf", "s3fifo" or "lru"': "eviction_policy eviction strategy algorithm",
        "on_evict|on_drop, called with what went and why": (
            "on_remove on_removal on_eviction on_delete on_expire removal_listener callback"
        ),
        "key, a function of the arguments": "key_maker key_func keyfunc make_key key_builder",
        "spill, a folder or a Spill": "directory disk disk_path cache_dir persist",
        "clock, an object with now()": "timer time_func",
        "not needed: any thread may use it": "lock condition thread_safe threadsafe",
        # Methods of caches and containers.
        "set|append|add|record": "put insert store write save",
        "get": "fetch lookup read retrieve get_if_present",
        "get_or_load(key, loader)": "get_or_set get_or_create get_or_compute compute_if_absent",
        "delete|pop|discard": "invalidate invalidate_key remove evict unset delete_key forget",
        "clear": "cache_clear invalidate_all clear_all reset flush purge drain empty delete_all",
        "stats()": (
            "cache_info get_stats statistics info metrics status memory_stats get_memory_stats "
            "get_memory_info get_metrics"
        ),
        "held_bytes(), and len() for the entries": (
            "currsize current_size total_size nbytes volume get_size size_bytes"
        ),
        "shrink|reclaim|resize": "cull trim prune shrink_to_fit",
        "no call: what has expired goes by itself": (
            "clear_expired delete_expired remove_expired cleanup_expired expire_items"
        ),
        "`key in it`": "has has_key contains exists",
        # Methods of a budget, a manager or a monitor.
        "reclaim|shrink": (
            "cleanup clean_up force_cleanup emergency_cleanup trigger_cleanup free_memory "
            "release_memory optimize_memory force_gc collect"
        ),
        "held_bytes|pressure": (
            "memory_usage get_memory_usage current_usage usage get_usage memory_percent "
            "check_memory"
        ),
        "membudget.start(), which has begun it": "start_monitoring start_monitor",
        "stop()": "stop_monitoring stop_monitor shutdown close",
        "callback(name, function)": (
            "register_callback add_callback register_cleanup register_cleanup_callback "
            "add_cleanup_callback on_pressure on_memory_pressure"
        ),
        "tell(sink)": "add_sink subscribe add_listener on_event add_alert_handler register_alert",
        "report()": "get_report generate_report memory_report",
        "leaks()": "check_leaks detect_leaks get_leaks detect_memory_leaks",
        "watch(name, container)": "register_component register_container monitor track register",
        "admit(size), entered by `with`": "reserve allocate can_allocate request_memory",
        "cache(name)": "create_cache make_cache register_cache",
        # What is looked for in `membudget` itself.
        "Cache, or the decorator cached": "LRUCache TTLCache LFUCache FIFOCache RRCache TLRUCache",
        "cached": "lru_cache ttl_cache cachedmethod memoize memoized",
        "start(), which gives a Budget": "MemoryManager MemoryMonitor MemoryBudget CleanupManager",
        "BoundedDeque": "BoundedQueue RingBuffer CircularBuffer",
    }
)
"""By argument or attribute; the first words of what it is here are alternatives."""

OF_SETTINGS = _by_word(
    {
        'limit, with its unit: "400MiB"': (
            "memory_limit memory_limit_mb max_memory max_memory_mb max_mb limit_mb total_mb "
            "max_rss max_rss_mb memory_budget budget_mb budget memory"
        ),
        'thresholds.warning, a share or a size: "80%", "400MiB"': (
            "memory_threshold memory_threshold_mb memory_threshold_percent "
            "threshold_mb warning_mb warning_threshold warning_percent warn_mb warn_threshold "
            "high_water_mark"
        ),
        'thresholds.critical, a share or a size: "90%", "450MiB"': (
            "critical_mb critical_threshold critical_percent critical_memory_threshold"
        ),
        'thresholds.emergency, a share or a size: "95%", "475MiB"': (
            "emergency_mb emergency_threshold emergency_percent danger_mb danger_threshold"
        ),
        'thresholds.shutdown, a share or a size: "98%"': (
            "shutdown_mb shutdown_threshold restart_threshold"
        ),
        'thresholds.low, a share or a size: "70%"': (
            "low_water_mark target_mb target_percent cleanup_target"
        ),
        "thresholds.rss.warning and .critical": (
            "thresholds_rss thresholds_heap rss_mb heap heap_mb"
        ),
        "thresholds.native.warning and .critical": (
            "thresholds_external thresholds_native external external_mb native_mb"
        ),
        'monitoring.check_interval, with its unit: "500ms"': (
            "check_interval check_interval_ms check_interval_seconds interval interval_ms "
            "interval_seconds poll_interval monitor_interval monitoring_interval "
            "monitoring_interval_ms monitoring_interval_seconds"
        ),
        'monitoring.snapshot_interval, with its unit: "5m"': (
            "snapshot_interval snapshot_interval_ms history_interval sample_interval "
            "sample_interval_ms"
        ),
        "monitoring.history_size": (
            "history_size max_history history_length max_snapshots max_samples"
        ),
        'caches.cleanup_interval, with its unit: "10m"': (
            "cleanup_interval cleanup_interval_ms cleanup_interval_seconds "
            "cache_cleanup_interval sweep_interval"
        ),
        "idle or ttl of a Cache that holds the models": (
            "model_cleanup_interval model_cleanup_interval_ms model_timeout model_idle_timeout"
        ),
        "caches.size_limit, a share or a size": (
            "cache_size cache_size_mb cache_limit cache_limit_mb cache_size_limit "
            "max_cache_size max_cache_size_mb max_cache_mb"
        ),
        "caches.max_entries": "cache_max_entries cache_maxsize max_cache_entries maxsize max_size",
        'caches.ttl, with its unit: "1h"': (
            "cache_ttl cache_ttl_seconds default_ttl ttl ttl_seconds"
        ),
        "cleanup.auto": "auto_cleanup enable_cleanup enable_auto_cleanup cleanup_enabled auto_gc",
        'cleanup.gc_above, with its unit: "500MiB"': (
            "gc_threshold gc_threshold_mb force_gc force_gc_threshold force_gc_mb aggressive_gc"
        ),
        'cleanup.cooldown, with its unit: "60s"': (
            "cleanup_cooldown cooldown_ms cooldown_seconds gc_interval gc_interval_ms "
            "gc_cooldown min_cleanup_interval"
        ),
        "leaks.enabled": "leak_detection leak_detection_enabled enable_leak_detection detect_leaks",
        "leaks.threshold_mb_per_hour": (
            "leak_threshold leak_threshold_mb growth_threshold growth_threshold_mb leak_rate"
        ),
        "emergency.exit": "auto_restart exit_on_limit restart_on_limit shutdown_on_limit",
        "components.NAME.max_items": "container_limits collection_limits max_items",
        "a sink, given to start(sinks=[...])": (
            "alerts alerting alert_cooldown alert_cooldown_ms alert_threshold alert_channels "
            "enable_alerts notifications webhook webhook_url"
        ),
        'the logger "membudget" of the standard library': "logging log_level log_file",
    }
)
"""By the last part of a key, or by all of it with underscores for dots."""


def here_it_is(word: str, known: Container[str] = ()) -> str:
    """What an argument or an attribute is called here, of those `known` there; "" for no idea."""
    here = OF_OBJECTS.get(word) or OF_OBJECTS.get(word.lower(), "")
    end = next((at for at, one in enumerate(here) if not (one.isalnum() or one in "_|")), len(here))
    names, rest = here[:end].split("|"), here[end:]
    return here and f"here it is {next((one for one in names if one in known), names[0])}{rest}"


def setting_here(key: str) -> str:
    """What a key of settings is called here; "" for no idea."""
    whole = key.lower().replace(".", "_")
    parts = key.lower().split(".")
    found = next((OF_SETTINGS[one] for one in (whole, *parts[::-1]) if one in OF_SETTINGS), "")
    return found and f"here it is {found}"
